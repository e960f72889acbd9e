curl --location --request PUT 'https://api.paket.tv/v1/sessions/upnext/:session_id' \
  --header 'Content-Type: application/json' \
  --header 'Accept: application/json' \
  --header 'Authorization: Basic <credentials>' \
  --data '{
    "app_id": "fe4a9ed381e8e376",
    "context_id": "6e5060c3-7df4-488e-9e9a-67cd5077b352"
  }'
