curl -H "Authorization: Bearer $ACCESS_TOKEN" -d @- -X PUT "https://api.paket.tv/api/v1/licenses/license_1?context=company_1" | jq .
