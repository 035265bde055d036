# Two balancers that both work: each owns one address, and takes over the other's when the other fails. DNS gives both
# addresses for the site's name, so that each balancer has about half of the visitors.
#
# Either one must be able to carry all of them.

servers = {
  lb1  = "10.0.0.11"
  lb2  = "10.0.0.12"
  web1 = "10.0.0.21"
  web2 = "10.0.0.22"
}

vip "left" {
  address = "10.0.0.8/24"
  nodes   = [server.lb1, server.lb2]
  witness = "10.0.0.1"

  # It goes back by itself, or else one balancer would have all the work after the other one's first restart. The delay
  # gives a balancer that has just started time to find out how its members are.
  preempt_delay = "30s"
}

vip "right" {
  address       = "10.0.0.9/24"
  nodes         = [server.lb2, server.lb1] # the other way round
  witness       = "10.0.0.1"
  preempt_delay = "30s"
}

pool "web" {
  servers = [server.web1, server.web2]
  port    = 8080

  check {
    http = "/up"
  }
}

http "shop" {
  listen = ":80"
  nodes  = [server.lb1, server.lb2]
  pool   = pool.web
}
