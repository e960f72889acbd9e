curl --location --request PUT 'https://api.paket.tv/v1/sessions/upnext/:session_id/:context_id' \
  --header 'Content-Type: application/json' \
  --header 'Accept: application/json' \
  --header 'Authorization: Basic <credentials>' \
  --data '{
    "content_id": "1iwousk12i008d9",
    "action": "hide"
  }'
