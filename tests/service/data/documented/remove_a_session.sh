curl --location --request DELETE 'https://api.paket.tv/v1/sessions/upnext/:session_id' \
  --header 'Accept: application/json' \
  --header 'Authorization: Basic <credentials>'
