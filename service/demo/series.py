"""The series of the demo: title | year | minutes of an episode | episodes of each season | what it is about."""

from __future__ import annotations

SERIES = """\
The Twilight Zone | 1959 | 25 | 36 29 37 18 36 | Every episode is another step out of the ordinary.
Star Trek | 1966 | 50 | 29 26 24 | A starship goes where nobody from Earth has been.
The Prisoner | 1967 | 50 | 17 | A man who resigned wakes up in a village without exits.
Monty Python's Flying Circus | 1969 | 30 | 13 13 13 6 | Sketches that stop when they have had enough.
Fawlty Towers | 1975 | 32 | 6 6 | A hotel would run well without its owner, or its guests.
Tinker Tailor Soldier Spy | 1979 | 45 | 7 | A retired spy looks for the traitor among his colleagues.
Yes Minister | 1980 | 30 | 7 7 7 | A minister has plans, and civil servants to prevent them.
Cosmos | 1980 | 60 | 13 | A walk through the universe with somebody who loves it.
Brideshead Revisited | 1981 | 55 | 11 | A student falls in love with a family and its house.
Blackadder | 1983 | 30 | 6 6 6 6 | One scheming family, four centuries, the same servant.
Seinfeld | 1989 | 22 | 5 12 23 24 22 24 24 22 24 | Four New Yorkers make much of very little.
Twin Peaks | 1990 | 47 | 8 22 | An agent comes to a small town for a murder and the pie.
The X-Files | 1993 | 45 | 24 25 24 24 20 22 22 21 20 6 10 | Two agents open the cases that the bureau would bury.
Frasier | 1993 | 22 | 24 24 24 24 24 24 24 24 24 24 24 | A radio psychiatrist takes in his father, and the dog.
Friends | 1994 | 22 | 24 24 25 24 24 25 24 24 24 18 | Six people, two flats and one sofa in a coffee house.
Neon Genesis Evangelion | 1995 | 24 | 26 | Children pilot giants against angels, and against themselves.
Buffy the Vampire Slayer | 1997 | 44 | 12 22 22 22 22 22 22 | A schoolgirl is chosen to fight what comes out at night.
Cowboy Bebop | 1998 | 24 | 26 | Bounty hunters drift between planets, mostly broke.
Spaced | 1999 | 25 | 7 7 | Two strangers pretend to be a couple to rent a flat.
The Sopranos | 1999 | 55 | 13 13 13 13 13 21 | A mob boss begins to see a therapist.
Freaks and Geeks | 1999 | 44 | 18 | A good student joins the wrong crowd, and likes it.
The Office | 2001 | 30 | 6 6 | A camera crew films a paper merchant and its manager.
Six Feet Under | 2001 | 55 | 13 13 13 12 12 | Two brothers inherit a funeral home and its dead.
Band of Brothers | 2001 | 60 | 10 | One company of paratroopers, from training to the end of a war.
24 | 2001 | 43 | 24 24 24 24 24 24 24 24 | An agent has a day, told hour by hour.
The Wire | 2002 | 59 | 13 12 12 13 10 | Police, dealers, dockers, schools and papers of one city.
Firefly | 2002 | 44 | 14 | A small crew with a small ship keeps flying.
Arrested Development | 2003 | 22 | 22 18 13 15 16 | A son holds a rich family together after it lost everything.
Deadwood | 2004 | 50 | 12 12 12 | A gold camp without law becomes a town.
Lost | 2004 | 43 | 25 24 23 14 17 18 | The survivors of a crash find that the island has plans.
House | 2004 | 44 | 22 24 24 16 24 22 23 22 | A doctor who dislikes patients solves what others cannot.
Veronica Mars | 2004 | 44 | 22 22 20 8 | A detective's daughter takes cases between lessons.
Samurai Champloo | 2004 | 24 | 26 | Two swordsmen and a waitress look for a man who smells of sunflowers.
Avatar: The Last Airbender | 2005 | 23 | 20 20 21 | A boy found in the ice must learn four elements.
Rome | 2005 | 52 | 12 10 | Two soldiers stumble through the end of a republic.
The Thick of It | 2005 | 30 | 3 3 8 7 | A ministry lurches from one leak to the next.
Planet Earth | 2006 | 50 | 11 | Mountains, caves, seas and forests, and who lives there.
The IT Crowd | 2006 | 25 | 6 6 6 6 | Two technicians and their manager live in the basement.
Life on Mars | 2006 | 60 | 8 8 | A policeman has an accident, and wakes up in 1973.
Friday Night Lights | 2006 | 43 | 22 15 13 13 13 | A Texas town lives for its school's football team.
30 Rock | 2006 | 22 | 21 15 22 22 23 22 13 | A writer tries to keep a comedy show on the air.
Dexter | 2006 | 53 | 12 12 12 12 12 12 12 12 | A police analyst kills those who got away.
Death Note | 2006 | 23 | 37 | A student finds a notebook that kills whoever is written in it.
The Killing | 2007 | 58 | 20 10 10 | A Copenhagen inspector stays for one more case.
Mad Men | 2007 | 47 | 13 13 13 13 13 13 14 | An advertising man sells everything but his past.
Flight of the Conchords | 2007 | 28 | 12 10 | Two musicians from New Zealand have one fan in New York.
Pushing Daisies | 2007 | 43 | 9 13 | A baker wakes the dead with a touch, but only once.
Breaking Bad | 2008 | 47 | 7 13 13 13 16 | A chemistry teacher with cancer goes into the drug trade.
The Inbetweeners | 2008 | 25 | 6 6 6 | Four boys are neither cool nor aware of it.
Parks and Recreation | 2009 | 22 | 6 24 16 22 22 22 13 | An official loves her town more than it deserves.
Community | 2009 | 22 | 25 24 22 13 13 13 | A study group at a poor college learns anything but Spanish.
Modern Family | 2009 | 22 | 24 24 24 24 24 24 22 22 22 22 18 | Three households of one large family look into a camera.
The Good Wife | 2009 | 43 | 23 23 22 22 22 22 22 | A wife goes back to the law after her husband's scandal.
Fullmetal Alchemist: Brotherhood | 2009 | 24 | 64 | Two brothers want back what alchemy took.
Justified | 2010 | 44 | 13 13 13 13 13 13 | A marshal is sent back to the hills that he left.
Sherlock | 2010 | 88 | 3 3 3 3 | The detective of Baker Street, with a telephone.
Downton Abbey | 2010 | 50 | 7 8 8 8 8 8 | The family upstairs and the staff below, as times change.
Boardwalk Empire | 2010 | 55 | 12 12 12 12 8 | A treasurer runs Atlantic City when drink is forbidden.
Treme | 2010 | 58 | 10 11 10 5 | Musicians and cooks rebuild New Orleans after the flood.
Luther | 2010 | 55 | 6 4 4 2 4 | A detective gets too close to a brilliant murderer.
Borgen | 2010 | 58 | 10 10 10 | A politician becomes prime minister by surprise.
Game of Thrones | 2011 | 55 | 10 10 10 10 10 10 7 6 | Great families fight for a chair while winter comes.
Black Mirror | 2011 | 60 | 3 3 6 6 3 5 6 | Each story takes one invention a step too far.
Homeland | 2011 | 50 | 12 12 12 12 12 12 12 12 | An agent suspects a soldier who came home a hero.
The Bridge | 2011 | 58 | 10 10 10 8 | A body on a border brings two police forces together.
Veep | 2012 | 28 | 8 10 10 10 10 10 7 | A vice president waits for a call that does not come.
Girls | 2012 | 28 | 10 10 12 10 10 10 | Four friends in New York are not grown up yet.
The Legend of Korra | 2012 | 23 | 12 14 13 13 | The next master of the elements meets a modern city.
Gravity Falls | 2012 | 22 | 20 20 | Twins spend a summer with an uncle and the woods behind his shop.
House of Cards | 2013 | 51 | 13 13 13 13 13 8 | A congressman passed over takes revenge on the way up.
Orange Is the New Black | 2013 | 55 | 13 13 13 13 13 13 13 | A woman goes to prison for something long ago.
The Americans | 2013 | 45 | 13 13 13 13 13 10 | The nice couple next door spies for Moscow.
Broadchurch | 2013 | 47 | 8 8 8 | Two detectives and a seaside town after a boy's death.
Orphan Black | 2013 | 44 | 10 10 10 10 10 | A woman sees herself jump before a train, and takes her place.
Peaky Blinders | 2013 | 58 | 6 6 6 6 6 6 | A Birmingham family of bookmakers wants more.
Rectify | 2013 | 45 | 6 10 6 8 | A man comes home after nineteen years on death row.
Rick and Morty | 2013 | 22 | 11 10 10 10 10 10 10 10 | A scientist drags his grandson through every universe.
True Detective | 2014 | 58 | 8 8 8 6 | Old cases come back to those who worked on them.
Fargo | 2014 | 53 | 10 10 10 11 10 | Polite people in the snow get into very bad trouble.
Happy Valley | 2014 | 58 | 6 6 6 | A sergeant in Yorkshire meets the man she can't forgive.
Detectorists | 2014 | 29 | 6 6 6 | Two friends search the fields for gold and find ring pulls.
The Leftovers | 2014 | 57 | 10 10 8 | Some people vanished, and the others have to go on.
Halt and Catch Fire | 2014 | 45 | 10 10 10 10 | Four people build computers, then networks, too early.
BoJack Horseman | 2014 | 25 | 12 12 12 12 12 16 | A horse who once was a television star tries to be better.
Silicon Valley | 2014 | 28 | 8 10 10 10 8 7 | Five programmers have an algorithm and no idea of business.
Broad City | 2014 | 22 | 10 10 10 10 10 | Two friends get through New York without money.
Over the Garden Wall | 2014 | 11 | 10 | Two brothers are lost in a wood out of old songs.
Better Call Saul | 2015 | 47 | 10 10 10 10 10 13 | A small lawyer becomes the one that criminals call.
Mr. Robot | 2015 | 50 | 10 12 10 13 | A hacker who trusts nobody is asked to erase all debt.
The Expanse | 2015 | 45 | 10 13 13 10 10 6 | A crew of five gets between Earth, Mars and the Belt.
Narcos | 2015 | 50 | 10 10 10 | Agents and cartels in Colombia, over three wars.
Deutschland 83 | 2015 | 43 | 8 | A young border guard is sent West as a spy.
Wolf Hall | 2015 | 60 | 6 | A blacksmith's son serves a king who wants a divorce.
Catastrophe | 2015 | 25 | 6 6 6 6 | A holiday affair becomes a marriage in a hurry.
Stranger Things | 2016 | 55 | 8 9 8 9 | A boy disappears, a girl with a number appears.
The Crown | 2016 | 58 | 10 10 10 10 10 10 | A young queen, her family, and a century of ministers.
Fleabag | 2016 | 26 | 6 6 | A woman in London tells us everything but one thing.
Atlanta | 2016 | 28 | 10 11 10 10 | A man manages his cousin, who raps.
Westworld | 2016 | 60 | 10 10 8 8 | The hosts of an amusement park begin to remember.
The Night Of | 2016 | 60 | 8 | A student wakes beside a dead woman, and is charged.
The Good Place | 2016 | 22 | 13 13 13 14 | A selfish woman is let into heaven by mistake.
Insecure | 2016 | 29 | 8 8 8 10 10 | Two friends in Los Angeles work on their lives.
The Handmaid's Tale | 2017 | 50 | 10 13 13 10 10 10 | A woman kept for her children resists a state of men.
Big Little Lies | 2017 | 50 | 7 7 | Mothers at one school share a death at the ball.
Dark | 2017 | 53 | 10 8 8 | A missing child in a small town leads to another year.
Babylon Berlin | 2017 | 47 | 8 8 12 12 | An inspector with a secret works in the Berlin of 1929.
GLOW | 2017 | 34 | 10 10 10 | Out-of-work actresses learn to wrestle for television.
Mindhunter | 2017 | 52 | 10 9 | Two agents ask murderers why.
The Marvelous Mrs. Maisel | 2017 | 55 | 8 10 8 8 9 | A perfect wife turns out to be a comedian.
Blue Planet II | 2017 | 60 | 7 | The oceans, from the shore to the deep.
Derry Girls | 2018 | 23 | 6 6 7 | Five friends grow up in the Troubles, mostly in trouble.
Killing Eve | 2018 | 43 | 8 8 8 8 | An agent and an assassin cannot stop thinking of each other.
Succession | 2018 | 62 | 10 10 9 10 | Four children want their father's company, and his love.
Barry | 2018 | 30 | 8 8 8 8 | A hit man follows his target into an acting class.
The Terror | 2018 | 45 | 10 10 | Two ships are held by the ice, and something walks on it.
Sharp Objects | 2018 | 52 | 8 | A reporter goes home for two murders and her mother.
Homecoming | 2018 | 30 | 10 7 | A counsellor cannot remember the clinic where she worked.
Bluey | 2018 | 7 | 52 52 50 | A puppy, her sister and their parents play.
Chernobyl | 2019 | 65 | 5 | A reactor explodes, and some decide to tell the truth.
Watchmen | 2019 | 57 | 9 | A masked detective in Tulsa finds out who her family was.
Unbelievable | 2019 | 49 | 8 | Two detectives believe what others would not.
Russian Doll | 2019 | 28 | 8 7 | A woman keeps dying at her birthday party.
Sex Education | 2019 | 50 | 8 8 8 8 | A therapist's shy son opens a clinic at school.
The Mandalorian | 2019 | 40 | 8 8 8 | A bounty hunter keeps the child that he should deliver.
The Boys | 2019 | 60 | 8 8 8 8 | Ordinary men go after heroes who are none.
What We Do in the Shadows | 2019 | 25 | 10 10 10 10 10 11 | Vampires share a house on Staten Island.
Good Omens | 2019 | 52 | 6 6 | An angel and a demon would rather keep the Earth.
Years and Years | 2019 | 58 | 6 | A Manchester family lives through the next fifteen years.
When They See Us | 2019 | 74 | 4 | Five boys are convicted of what they did not do.
Dickinson | 2019 | 30 | 10 10 10 | A poet is young, in love, and in the way.
For All Mankind | 2019 | 60 | 10 10 10 10 | The Soviets land first, and the race goes on.
Normal People | 2020 | 29 | 12 | Two people from one small town keep missing each other.
I May Destroy You | 2020 | 30 | 12 | A writer pieces together a night that she cannot recall.
The Queen's Gambit | 2020 | 56 | 7 | An orphan learns chess in the cellar, and beats everyone.
Ted Lasso | 2020 | 38 | 10 12 12 | An American who knows no football coaches an English club.
Devs | 2020 | 50 | 8 | An engineer looks into what her company is building.
Industry | 2020 | 55 | 8 8 8 | Graduates fight for a desk at a London bank.
Bridgerton | 2020 | 62 | 8 8 8 | A family of eight must marry, and a gossip writes.
Lupin | 2021 | 46 | 5 5 7 | A thief takes his methods from a book.
It's a Sin | 2021 | 47 | 5 | Friends share a London flat as an illness arrives.
Mare of Easttown | 2021 | 60 | 7 | A detective knows everybody in the town of a murder.
Hacks | 2021 | 33 | 10 8 9 10 | A comedian of the old school hires a young writer.
Only Murders in the Building | 2021 | 33 | 10 10 10 10 | Three neighbours make a podcast of a crime in their house.
Squid Game | 2021 | 55 | 9 7 6 | People in debt play children's games for their lives.
Arcane | 2021 | 41 | 9 9 | Two sisters end up on two sides of a divided city.
Station Eleven | 2021 | 50 | 10 | Actors travel from camp to camp after the end of the world.
Maid | 2021 | 52 | 10 | A young mother leaves, and cleans houses to stay away.
Reservation Dogs | 2021 | 27 | 8 10 10 | Four teenagers in Oklahoma want to get to California.
Abbott Elementary | 2021 | 22 | 13 22 14 22 | Teachers do what they can at a poor school.
The White Lotus | 2021 | 60 | 6 7 8 | Rich guests, tired staff, and a body at the end of the week.
Severance | 2022 | 50 | 9 10 | At work they do not know who they are at home.
Slow Horses | 2022 | 47 | 6 6 6 6 | Spies who failed are kept in a house of their own.
Pachinko | 2022 | 57 | 8 8 | Four generations of a Korean family in Japan.
The Bear | 2022 | 33 | 8 10 10 10 | A fine chef inherits his brother's sandwich shop.
Andor | 2022 | 45 | 12 12 | A thief becomes a rebel, slowly and at a price.
Heartstopper | 2022 | 32 | 8 8 8 | Two boys sit next to each other in class.
Bad Sisters | 2022 | 53 | 10 8 | Five sisters, one dead husband, and an insurer who asks.
The Last of Us | 2023 | 55 | 9 7 | A smuggler takes a girl across a ruined country.
Beef | 2023 | 36 | 10 | Two drivers cannot let go of a quarrel in a car park.
Silo | 2023 | 50 | 10 10 | Ten thousand people live under the ground, and may not ask why.
Blue Eye Samurai | 2023 | 48 | 8 | A swordsmith's pupil looks for four men, unrecognised.
Frieren: Beyond Journey's End | 2023 | 24 | 28 | An elf who outlives her friends begins to understand them.
Shōgun | 2024 | 60 | 10 | An English pilot is stranded between the lords of Japan.
Ripley | 2024 | 56 | 8 | A small swindler is sent to Italy to bring a rich man's son home.
Baby Reindeer | 2024 | 34 | 7 | A barman gives a customer a cup of tea, and regrets it.
Fallout | 2024 | 58 | 8 | A girl from a vault walks through what is left above.
"""
