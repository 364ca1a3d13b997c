"""Verifies one response again and again with python3-saml; prints the rate."""

import json
import re
import sys
import time

from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils

order = json.load(sys.stdin)
# The documents have a clock of their own.
OneLogin_Saml2_Utils.now = staticmethod(lambda: order["now"])


def pem(kind):
    found = re.search(f"-----BEGIN {kind}-----.*?-----END {kind}-----", order["key"], re.S)
    return found.group(0)


settings = OneLogin_Saml2_Settings({
    "strict": True,
    "sp": {
        "entityId": order["entity"],
        "assertionConsumerService": {"url": order["acs"]},
        "x509cert": pem("CERTIFICATE"),
        "privateKey": pem("PRIVATE KEY"),
    },
    "idp": {
        "entityId": order["idp"],
        "singleSignOnService": {"url": "https://idp.example.org/sso"},
        "x509cert": order["certificate"],
    },
    "security": {"rejectDeprecatedAlgorithm": True},
})
path = order["acs"].removeprefix("https://sso.example.com")
request = {"https": "on", "http_host": "sso.example.com", "script_name": path, "get_data": {}, "post_data": {}}


def once():
    response = OneLogin_Saml2_Response(settings, order["response"])
    if not response.is_valid(request, order["request"]):
        sys.exit(f"refused: {response.get_error()}")
    if response.get_nameid() != order["name_id"]:
        sys.exit("another name")
    response.get_attributes()


once()
begun, count = time.perf_counter(), 0
while time.perf_counter() - begun < order["seconds"]:
    once()
    count += 1
print(count / (time.perf_counter() - begun))
