# Two balancers, one address. The address is on lb1; when lb1 fails, lb2 has it within half a second.
# Both machines run this same file:
#
#   skein run vip.hcl
#
# Each finds out which of the servers it is by its host name, or by its address.

servers = {
  lb1  = "10.0.0.11"
  lb2  = "10.0.0.12"
  web1 = "10.0.0.21"
  web2 = "10.0.0.22"
}

vip "front" {
  address = "10.0.0.10/24"           # what visitors use; nobody's own
  nodes   = [server.lb1, server.lb2] # the preferred owner first
  preempt = false                    # when lb1 is back it waits until lb2 gives the address up: no connection is cut
  witness = "10.0.0.1"               # the gateway: a node that does not reach it owns nothing
}

pool "web" {
  servers = [server.web1, server.web2]
  port    = 8080

  check {
    http = "/up"
  }
}

# It listens on every address, the virtual one included, on both balancers. It could as well say "10.0.0.10:80".
http "shop" {
  listen = ":80"
  nodes  = [server.lb1, server.lb2]
  pool   = pool.web
}
