curl -H "Authorization: Bearer $ACCESS_TOKEN" "https://api.paket.tv/api/v1/apps?context=company_1" | jq .
