curl --location 'https://api.paket.tv/v1/contexts/upnext/:context_id' \
  --header 'Accept: application/json' \
  --header 'Authorization: Basic <credentials>'
