curl -s -H "Authorization: Bearer $ACCESS_TOKEN" -F asset=@icon.png "https://api.paket.tv/api/v1/assets/:app_id/icon@1x?context=company_1" | jq .
