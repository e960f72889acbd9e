export ACCESS_TOKEN=$(curl -v -d grant_type=password -d scope=ng_api -d username=ann@example.org -d password=a-password-of-ann "https://api.paket.tv/api/authenticate" | jq -r .access_token)
