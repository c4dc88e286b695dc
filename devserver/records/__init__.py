"""The data that crosses rooms and processes: small frozen records below everybody who reads them."""
