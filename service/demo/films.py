"""The films of the demo: title | year | minutes | what it is about."""

from __future__ import annotations

FILMS = """\
The General | 1926 | 75 | A railwayman chases his stolen engine through the lines of a war.
Metropolis | 1927 | 153 | In a city of towers, the master's son goes down to those who keep it running.
Sunrise | 1927 | 94 | A farmer is tempted to kill his wife, and falls in love with her again.
City Lights | 1931 | 87 | A tramp finds the money to give a blind flower seller her sight.
M | 1931 | 117 | Police and underworld hunt the same murderer through Berlin.
Modern Times | 1936 | 87 | A worker is swallowed by the machines, and keeps dancing.
Bringing Up Baby | 1938 | 102 | A shy scientist, an heiress and a tame leopard lose a bone.
The Wizard of Oz | 1939 | 102 | A tornado carries a girl to a land of colours, and a road leads home.
The Rules of the Game | 1939 | 110 | A weekend of hunting and affairs at a country house goes wrong.
His Girl Friday | 1940 | 92 | An editor keeps his best reporter, once his wife, for one more story.
The Great Dictator | 1940 | 125 | A barber is taken for the tyrant who looks like him.
Citizen Kane | 1941 | 119 | Reporters look for the meaning of a rich man's last word.
The Maltese Falcon | 1941 | 100 | A detective and three crooks want the same black statuette.
Casablanca | 1942 | 102 | The owner of a bar must choose between a woman and a cause.
Double Indemnity | 1944 | 107 | A salesman and a wife plan the perfect insurance murder.
Laura | 1944 | 88 | A detective falls in love with the portrait of the victim.
Brief Encounter | 1945 | 86 | Two married people meet every Thursday at a station.
Notorious | 1946 | 101 | An agent sends the woman he loves into the house of a spy.
It's a Wonderful Life | 1946 | 130 | A man in despair is shown his town as it would be without him.
Out of the Past | 1947 | 97 | The keeper of a petrol station is called back to what he left.
Bicycle Thieves | 1948 | 89 | A father and his son search Rome for the bicycle that he needs for work.
The Red Shoes | 1948 | 134 | A dancer is torn between her art and a composer.
Late Spring | 1949 | 108 | A daughter would rather stay with her father than marry.
Kind Hearts and Coronets | 1949 | 106 | A poor relation removes eight heirs, one after the other.
The Third Man | 1949 | 104 | A writer of westerns looks for his dead friend in a divided Vienna.
Sunset Boulevard | 1950 | 110 | A broke screenwriter moves in with a forgotten star of the silents.
All About Eve | 1950 | 138 | An admirer makes herself useful to an actress, then replaces her.
Rashomon | 1950 | 88 | Four people tell of the same crime, and none of it agrees.
Ikiru | 1952 | 143 | A clerk with months to live wants to build one playground.
Singin' in the Rain | 1952 | 103 | Hollywood learns to talk, and one star should not.
High Noon | 1952 | 85 | A marshal waits for the train that brings his enemy, alone.
Tokyo Story | 1953 | 136 | An old couple visits its children, who have no time.
Roman Holiday | 1953 | 118 | A princess runs off for a day, with a reporter at her side.
The Wages of Fear | 1953 | 147 | Four men drive lorries full of nitroglycerine over bad roads.
Ugetsu | 1953 | 97 | A potter leaves his wife for money, and meets a ghost.
Seven Samurai | 1954 | 207 | Farmers hire swordsmen to defend their village against bandits.
Rear Window | 1954 | 112 | A photographer with a broken leg believes that he saw a murder.
Sansho the Bailiff | 1954 | 124 | A governor's children are sold as slaves, and do not forget.
On the Waterfront | 1954 | 108 | A docker decides to speak against the boss of the union.
Pather Panchali | 1955 | 125 | A boy grows up in a Bengal village with little but his sister.
The Night of the Hunter | 1955 | 92 | A false preacher is after the money that two children hide.
The Searchers | 1956 | 119 | A man looks for his niece for years, and grows hard.
12 Angry Men | 1957 | 96 | One juror asks the eleven others to think once more.
The Seventh Seal | 1957 | 96 | A knight who comes home plays chess with Death.
Wild Strawberries | 1957 | 91 | On the way to an honour, an old doctor revisits his life.
Paths of Glory | 1957 | 88 | A colonel defends three soldiers picked to be shot as cowards.
Throne of Blood | 1957 | 110 | Macbeth among the castles and fogs of feudal Japan.
Vertigo | 1958 | 128 | A former policeman remakes one woman in the image of another.
Touch of Evil | 1958 | 95 | A bomb on the border sets an honest man against a crooked captain.
The 400 Blows | 1959 | 99 | A Paris boy whom nobody wants slips out of one place after another.
North by Northwest | 1959 | 136 | An advertising man is taken for a spy who does not exist.
Some Like It Hot | 1959 | 121 | Two musicians who saw a murder hide in a women's band.
Psycho | 1960 | 109 | A thief on the run stops at the wrong motel.
The Apartment | 1960 | 125 | A clerk lends his flat to his bosses for their affairs.
Breathless | 1960 | 90 | A petty crook and an American student drift through Paris.
L'Avventura | 1960 | 143 | A woman vanishes from an island, and those who search forget her.
La Dolce Vita | 1960 | 174 | A gossip writer spends seven nights in Rome.
Yojimbo | 1961 | 110 | A masterless samurai sells himself to both sides of a feud.
Cléo from 5 to 7 | 1962 | 90 | A singer walks through Paris while she waits for a diagnosis.
Lawrence of Arabia | 1962 | 222 | An English officer leads a revolt in the desert, and loses himself.
To Kill a Mockingbird | 1962 | 129 | A lawyer's children learn what justice is worth in their town.
8½ | 1963 | 138 | A director has everything for his next film but an idea.
The Leopard | 1963 | 186 | A Sicilian prince watches his world make room for a new one.
High and Low | 1963 | 143 | Kidnappers take the wrong child, and still ask for the ransom.
The Birds | 1963 | 119 | The birds of a small bay turn on the people.
Charade | 1963 | 113 | A widow is chased through Paris for money she never saw.
Dr. Strangelove | 1964 | 95 | A mad general starts a war that nobody can call back.
The Umbrellas of Cherbourg | 1964 | 91 | Two lovers are parted by a war, and every word is sung.
A Hard Day's Night | 1964 | 87 | A band runs from its fans through one day in London.
The Battle of Algiers | 1966 | 121 | A city's rising, and the paratroopers sent against it.
Persona | 1966 | 84 | A nurse and an actress who does not speak grow into one another.
Andrei Rublev | 1966 | 183 | A painter of icons loses and finds his faith in a cruel time.
The Good, the Bad and the Ugly | 1966 | 161 | Three gunmen know two halves of a secret about gold.
Closely Watched Trains | 1966 | 93 | A shy trainee at a small station wants to be a man.
Playtime | 1967 | 124 | A man with an umbrella is lost in a Paris of glass.
The Graduate | 1967 | 106 | A young man without plans has an affair with a friend of his parents.
Le Samouraï | 1967 | 105 | A hired killer with perfect habits is seen for once.
2001: A Space Odyssey | 1968 | 149 | A black slab sends people to Jupiter, with a computer on board.
Once Upon a Time in the West | 1968 | 165 | A widow, a killer and a man with a harmonica wait for a railway.
Rosemary's Baby | 1968 | 137 | A young wife comes to fear her neighbours, and rightly.
Night of the Living Dead | 1968 | 96 | Strangers barricade a farmhouse against the dead.
Butch Cassidy and the Sundance Kid | 1969 | 110 | Two train robbers run out of West, and try Bolivia.
Army of Shadows | 1969 | 145 | The French resistance, as cold and lonely work.
The Conformist | 1970 | 113 | A man who wants to be like everyone takes on a murder for his party.
Harold and Maude | 1971 | 91 | A boy in love with death meets a woman of 79 in love with life.
The French Connection | 1971 | 104 | Two New York detectives follow a load of heroin.
The Godfather | 1972 | 175 | The youngest son wanted no part of the family's business.
Solaris | 1972 | 167 | An ocean on a far planet sends people what they regret.
Cabaret | 1972 | 124 | A singer and a student in Berlin do not see what is coming.
Aguirre, the Wrath of God | 1972 | 95 | Conquerors on a raft look for gold, and their leader goes mad.
The Spirit of the Beehive | 1973 | 98 | A girl in a Spanish village goes looking for Frankenstein's monster.
Badlands | 1973 | 94 | Two young lovers kill their way across the plains.
The Sting | 1973 | 129 | Two swindlers build a whole betting shop for one man.
Don't Look Now | 1973 | 110 | In Venice in winter, a father keeps seeing a small red coat.
Chinatown | 1974 | 131 | A private eye follows the water, and finds the family behind it.
The Conversation | 1974 | 113 | An expert on listening begins to listen to what he taped.
Young Frankenstein | 1974 | 106 | A doctor is ashamed of his grandfather's work until he reads it.
Jaws | 1975 | 124 | A policeman afraid of water must go out after a shark.
Barry Lyndon | 1975 | 185 | An Irish nobody climbs into the English nobility, and falls.
Nashville | 1975 | 160 | Two dozen people and a campaign cross in the city of country music.
Picnic at Hanging Rock | 1975 | 115 | Schoolgirls walk up a rock, and not all come down.
One Flew Over the Cuckoo's Nest | 1975 | 133 | A convict in a ward stirs up the patients and the head nurse.
Monty Python and the Holy Grail | 1975 | 92 | King Arthur gathers knights, but no horses.
Taxi Driver | 1976 | 114 | A man who cannot sleep drives through New York and arms himself.
All the President's Men | 1976 | 138 | Two reporters follow a burglary up to the White House.
Network | 1976 | 121 | A news reader goes mad on the air, and his ratings soar.
Annie Hall | 1977 | 93 | A comedian goes over the love that he could not keep.
Star Wars | 1977 | 121 | A farm boy joins a princess, a smuggler and an old knight.
Close Encounters of the Third Kind | 1977 | 135 | An electrician is drawn to a mountain that he has never seen.
Killer of Sheep | 1978 | 81 | Days of a family in Watts, where work wears a man down.
Days of Heaven | 1978 | 94 | Two lovers pose as brother and sister on a rich man's fields.
Alien | 1979 | 117 | A freighter answers a signal, and something comes aboard.
Stalker | 1979 | 161 | A guide takes two men to a room where wishes come true.
Apocalypse Now | 1979 | 147 | An officer goes up a river to end another's private war.
The Shining | 1980 | 144 | A writer minds an empty hotel in winter with his family.
Raging Bull | 1980 | 129 | A boxer fights best in the ring, and worst at home.
The Empire Strikes Back | 1980 | 124 | The rebels scatter, and a pupil learns who his father is.
Airplane! | 1980 | 87 | The crew ate the fish, and the only pilot left is afraid to fly.
Raiders of the Lost Ark | 1981 | 115 | An archaeologist races an army to a holy chest.
Das Boot | 1981 | 149 | A submarine's crew between boredom and terror.
Blade Runner | 1982 | 117 | A policeman hunts artificial people who want to live longer.
E.T. the Extra-Terrestrial | 1982 | 115 | A boy hides a lost visitor in his wardrobe.
Fanny and Alexander | 1982 | 188 | Two children of a theatre family get a bishop for a stepfather.
The Thing | 1982 | 109 | At an Antarctic base, anyone may be something else.
Fitzcarraldo | 1982 | 157 | A dreamer drags a steamship over a hill to pay for an opera.
The King of Comedy | 1982 | 109 | A man who wants to be a comedian kidnaps one.
Local Hero | 1983 | 111 | An oilman comes to buy a Scottish village, and would rather stay.
Amadeus | 1984 | 160 | A court composer cannot forgive Mozart his gift.
Paris, Texas | 1984 | 145 | A man walks out of the desert to find his son and his wife.
The Terminator | 1984 | 107 | A machine comes from the future to kill a waitress.
Ghostbusters | 1984 | 105 | Three scientists start a business, and New York needs it.
Back to the Future | 1985 | 116 | A boy must see to it that his parents fall in love.
Ran | 1985 | 162 | An old lord divides his land among three sons.
Brazil | 1985 | 142 | A clerk dreams of flying in a state run by forms.
Come and See | 1985 | 142 | A boy joins the partisans, and grows old in days.
Aliens | 1986 | 137 | The survivor goes back, this time with soldiers.
Blue Velvet | 1986 | 120 | A student finds an ear, and what lies under his town.
Down by Law | 1986 | 107 | Three men share a cell, and then a swamp.
Babette's Feast | 1987 | 102 | A French cook spends all she has on one dinner in Jutland.
The Princess Bride | 1987 | 98 | A farm boy comes back as a pirate for his true love.
Wings of Desire | 1987 | 127 | An angel over Berlin would like to feel the cold.
Withnail and I | 1987 | 107 | Two actors out of work go on holiday by mistake.
My Neighbor Totoro | 1988 | 86 | Two sisters find that the trees behind their new house are lived in.
Grave of the Fireflies | 1988 | 89 | A boy and his little sister are left alone by the war.
Die Hard | 1988 | 132 | A policeman without shoes against thieves in a tower.
Cinema Paradiso | 1988 | 124 | A director remembers the projectionist who raised him.
Akira | 1988 | 124 | A biker's friend gets powers that the army cannot hold.
Do the Right Thing | 1989 | 120 | The hottest day of the year on one street in Brooklyn.
When Harry Met Sally... | 1989 | 96 | It takes two friends twelve years to find out what they are.
Goodfellas | 1990 | 145 | A boy wants to be a gangster, becomes one, and has to get out.
Close-Up | 1990 | 98 | A man claims to be a famous director, and the real one films his trial.
The Silence of the Lambs | 1991 | 118 | A trainee asks one killer for help with another.
Terminator 2: Judgment Day | 1991 | 137 | The machine is back, and on the boy's side.
Thelma & Louise | 1991 | 129 | Two friends on a weekend drive cannot go home again.
The Double Life of Véronique | 1991 | 98 | Two women who never met share a feeling for each other.
Unforgiven | 1992 | 131 | A retired gunman takes one last job, for the money.
Groundhog Day | 1993 | 101 | A weatherman wakes up to the same day until he is fit for another.
Jurassic Park | 1993 | 127 | A park full of dinosaurs has a power cut before it opens.
Schindler's List | 1993 | 195 | A war profiteer spends his fortune on saving his workers.
The Piano | 1993 | 121 | A mute woman bargains for the piano left on the beach.
Three Colours: Blue | 1993 | 98 | A widow tries to live with no ties at all.
Pulp Fiction | 1994 | 154 | Two killers, a boxer and a briefcase, out of order.
The Shawshank Redemption | 1994 | 142 | A banker keeps his hope through twenty years of prison.
The Lion King | 1994 | 88 | A cub runs from his kingdom, and has to come back for it.
Chungking Express | 1994 | 102 | Two policemen get over their loves at the same snack bar.
Hoop Dreams | 1994 | 171 | Two Chicago boys and their families bet on basketball.
Toy Story | 1995 | 81 | A cowboy doll is no longer the favourite.
Heat | 1995 | 170 | A thief and a detective know each other too well.
Before Sunrise | 1995 | 101 | Two travellers get off the train for one night in Vienna.
Babe | 1995 | 92 | A piglet would like to herd sheep, and asks them politely.
Fargo | 1996 | 98 | A police chief, seven months pregnant, follows a clumsy kidnapping.
Secrets & Lies | 1996 | 142 | An optician looks for her mother, and finds a family.
L.A. Confidential | 1997 | 138 | Three policemen of different kinds work on one massacre.
Princess Mononoke | 1997 | 133 | A cursed prince stands between a forest and an ironworks.
Taste of Cherry | 1997 | 95 | A man drives around Tehran to find someone who will bury him.
The Big Lebowski | 1998 | 117 | A man of leisure only wanted his rug replaced.
The Truman Show | 1998 | 103 | A man finds out that his life has an audience.
Run Lola Run | 1998 | 80 | Twenty minutes to find a fortune, tried three times.
The Matrix | 1999 | 136 | A programmer learns what the world is made of.
All About My Mother | 1999 | 101 | A nurse goes to Barcelona to find her son's father.
Beau Travail | 1999 | 92 | A sergeant of the Foreign Legion envies a new recruit.
The Iron Giant | 1999 | 87 | A boy has to hide a friend who is fifteen metres tall.
In the Mood for Love | 2000 | 98 | Two neighbours find that their spouses have an affair.
Yi Yi | 2000 | 173 | A year in a Taipei family, from a wedding to a funeral.
Crouching Tiger, Hidden Dragon | 2000 | 120 | A stolen sword leads a warrior to a governor's daughter.
Memento | 2000 | 113 | A man who cannot form memories looks for his wife's killer.
Spirited Away | 2001 | 125 | A girl works in a bathhouse for spirits to free her parents.
Amélie | 2001 | 122 | A waitress sets out to do good in secret.
Mulholland Drive | 2001 | 146 | An actress helps a woman who has lost her memory.
The Fellowship of the Ring | 2001 | 178 | Nine companions carry a ring away from its maker.
City of God | 2002 | 130 | A boy with a camera grows up among the gangs of Rio.
Lost in Translation | 2003 | 102 | Two Americans who cannot sleep meet in a Tokyo hotel.
Oldboy | 2003 | 120 | A man is let go after fifteen years, and wants to know why.
Finding Nemo | 2003 | 100 | A nervous clownfish crosses the ocean for his son.
Eternal Sunshine of the Spotless Mind | 2004 | 108 | Two lovers have each other erased, and regret it half way.
The Incredibles | 2004 | 115 | A family of retired heroes is called back to work.
Howl's Moving Castle | 2004 | 119 | A hatmaker under a curse keeps house for a wizard.
Pan's Labyrinth | 2006 | 119 | A girl in Franco's Spain is given three tasks by a faun.
The Lives of Others | 2006 | 137 | A secret policeman listens to a playwright, and changes.
Children of Men | 2006 | 109 | In a world without births, one woman must reach the coast.
Zodiac | 2007 | 157 | A cartoonist cannot let go of a killer's letters.
No Country for Old Men | 2007 | 122 | A hunter finds two million dollars, and is hunted for it.
There Will Be Blood | 2007 | 158 | An oilman and a young preacher fight over a valley.
Ratatouille | 2007 | 111 | A rat who can cook and a boy who cannot share a kitchen.
Persepolis | 2007 | 95 | A girl in Tehran grows up with a revolution.
WALL-E | 2008 | 98 | The last cleaning robot on Earth falls in love.
In Bruges | 2008 | 107 | Two hit men are sent on holiday to wait for orders.
Let the Right One In | 2008 | 114 | A bullied boy's new neighbour only comes out at night.
Up | 2009 | 96 | A widower flies his house to South America, with a scout on the porch.
Moon | 2009 | 97 | The only man at a lunar mine finds that he is not alone.
The Social Network | 2010 | 120 | A student builds a website, and loses his only friend.
Inception | 2010 | 148 | Thieves of dreams are hired to leave an idea behind.
A Separation | 2011 | 123 | A couple's parting brings another family to court.
Moonrise Kingdom | 2012 | 94 | Two twelve-year-olds run away together on a small island.
Gravity | 2013 | 91 | An astronaut has to get home without a ship.
12 Years a Slave | 2013 | 134 | A free musician is kidnapped and sold to the South.
Ida | 2013 | 82 | A novice meets her aunt, and learns who she is.
Inside Llewyn Davis | 2013 | 105 | A folk singer goes from sofa to sofa, with a cat.
Boyhood | 2014 | 165 | Twelve years of one boy, filmed as they went by.
The Grand Budapest Hotel | 2014 | 99 | A concierge inherits a painting, and is hunted for it.
Interstellar | 2014 | 169 | A pilot leaves his daughter to look for another Earth.
Whiplash | 2014 | 106 | A young drummer meets a teacher without mercy.
Paddington | 2014 | 95 | A bear from Peru finds a home, and floods its bathroom.
Mad Max: Fury Road | 2015 | 120 | A driver takes five women away from a warlord, at full speed.
Inside Out | 2015 | 95 | Five feelings run a girl's head while she moves house.
Spotlight | 2015 | 129 | Four reporters look into what a church has kept quiet.
Arrival | 2016 | 116 | A linguist learns the language of visitors, and what it does.
Moonlight | 2016 | 111 | Three ages of a boy from Miami who says little.
Your Name | 2016 | 106 | A boy in Tokyo and a girl in the hills swap lives at night.
Toni Erdmann | 2016 | 162 | A father in a wig follows his daughter to work.
Paterson | 2016 | 118 | A week of a bus driver who writes poems.
Get Out | 2017 | 104 | A photographer meets his girlfriend's parents, who are too friendly.
Lady Bird | 2017 | 94 | A last year at school, and of fighting with a mother.
Paddington 2 | 2017 | 103 | The bear goes to prison for a book, and improves it.
Shoplifters | 2018 | 121 | A family that steals takes in a cold little girl.
Roma | 2018 | 135 | A year of a maid in a Mexico City household.
Spider-Man: Into the Spider-Verse | 2018 | 117 | A boy from Brooklyn meets the others with his powers.
Burning | 2018 | 148 | A young writer suspects what a rich man's hobby is.
Parasite | 2019 | 132 | A poor family gets itself hired by a rich one.
Portrait of a Lady on Fire | 2019 | 122 | A painter must portray a bride who will not sit.
Knives Out | 2019 | 130 | A detective sorts the heirs of a writer of mysteries.
Little Women | 2019 | 135 | Four sisters, and the book that one makes of them.
Minari | 2020 | 115 | A Korean family starts a farm in Arkansas.
Drive My Car | 2021 | 179 | A director and his driver share what they do not say.
Everything Everywhere All at Once | 2022 | 139 | The owner of a laundry must save all worlds during a tax audit.
Aftersun | 2022 | 102 | A woman looks back at a holiday with her young father.
The Banshees of Inisherin | 2022 | 114 | A man is told by his best friend that he is dull.
Past Lives | 2023 | 106 | Two childhood friends meet again, a marriage later.
Oppenheimer | 2023 | 180 | A physicist builds the bomb, and is tried for his doubts.
Anatomy of a Fall | 2023 | 152 | A court has to decide how a man fell from his house.
Perfect Days | 2023 | 124 | A cleaner of Tokyo's toilets likes each of his days.
The Boy and the Heron | 2023 | 124 | A boy follows a talking heron into a tower.
Flow | 2024 | 85 | A cat shares a boat with other animals while the water rises.
"""
