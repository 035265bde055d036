# Two cities, one file. Every balancer runs it; its name is its host name, or what --name says:
#
#   skein run regions.hcl --name lb1
#   skein check regions.hcl --all

region "beijing" {
  servers = {
    lb1  = "10.1.0.11"
    web1 = "10.1.0.21"
    web2 = "10.1.0.22"
  }
}

region "hangzhou" {
  servers = {
    lb2  = "10.2.0.11"
    web3 = "10.2.0.21"
    web4 = "10.2.0.22"
  }
}

# Each balancer prefers the servers of its own city. When less than half of them are healthy, the other city helps.
pool "web" {
  servers = [server.web1, server.web2, server.web3, server.web4]
  port    = 8080
  spill   = "50%"

  check {
    http = "/up"
  }
}

http "shop" {
  listen = ":8080"
  nodes  = [server.lb1, server.lb2]
  pool   = pool.web
}

# Only in Beijing, on every server there.
http "local" {
  listen = "127.0.0.1:8081"
  nodes  = [region.beijing]
  pool   = pool.web
}
