curl --location --request DELETE 'https://api.paket.tv/v1/contexts/upnext/:context_id/sessions' \
  --header 'Accept: application/json' \
  --header 'Authorization: Basic <credentials>'
