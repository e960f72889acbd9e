"""Licenses: what apps offer their viewers, and for how much."""

from __future__ import annotations

from service.api.kinds import Choice, Flag, Link, Text
from service.api.resource import Field, ResourceType

_CURRENCIES = (
    "AED|AFN|ALL|AMD|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BGN|BHD|BIF|BMD|BND|BOB|BOV|BRL|BSD|BTN|BWP|BYN|BZD|"
    "CAD|CDF|CHE|CHF|CHW|CLF|CLP|CNY|COP|COU|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|"
    "GEL|GHS|GIP|GMD|GNF|GTQ|GYD|HKD|HNL|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KPW|"
    "KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|LSL|LYD|MAD|MDL|MGA|MKD|MMK|MNT|MOP|MRU|MUR|MVR|MWK|MXN|MXV|MYR|MZN|"
    "NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|PLN|PYG|QAR|RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|"
    "SHP|SLE|SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|TND|TOP|TRY|TTD|TWD|TZS|UAH|UGX|USD|USN|UYI|UYU|UYW|"
    "UZS|VED|VES|VND|VUV|WST|XAF|XCD|XCG|XOF|XPF|YER|ZAR|ZMW|ZWG"
)
"""Of ISO 4217, those that something can be paid in."""


LICENSES = ResourceType(
    name="licenses",
    label="License",
    says="What apps offer their viewers. Nothing is billed.",
    in_company=True,
    fields=(
        Field(name="app", kind=Link(("apps",)), says="The app that offers it.", required=True),
        Field(
            name="price",
            kind=Text(16, pattern=r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,4})?", what="a decimal number as a string, as 9.90"),
            says="What it costs, a decimal number.",
            required=True,
        ),
        Field(
            name="currency",
            kind=Text(3, least=3, pattern=_CURRENCIES, what="three capital letters of a currency, as in ISO 4217"),
            says="What it is paid in, as in ISO 4217.",
            required=True,
        ),
        Field(name="period", kind=Choice(("MONTH", "YEAR", "ONCE")), says="How often it is paid.", required=True),
        Field(name="adSupported", kind=Flag(), says="Whether its viewers see advertising.", empty=False),
    ),
)
