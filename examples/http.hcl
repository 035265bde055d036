# The smallest file: one address, two servers, turn by turn.
#
#   skein run http.hcl

http "site" {
  listen  = ":8080"
  servers = ["10.0.0.11:8080", "10.0.0.12:8080"]
}
