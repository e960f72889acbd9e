curl --location --request POST 'https://api.paket.tv/v1/contexts' \
    --header 'Accept: application/json' \
    --header 'Authorization: Basic <credentials>'
