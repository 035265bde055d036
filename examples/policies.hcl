# Every way to pick the next server, each under a path of its own. docs/policies.md says when to choose which.
#
#   skein run policies.hcl

servers = {
  a = "10.0.0.11:8080"
  b = "10.0.0.12:8080"
  c = "10.0.0.13:8080"
}

# Turn by turn, a twice as often as the others. This is the policy of a pool that names none.
pool "turns" {
  servers = [server.a, server.b, server.c]
  weights = { a = 2 }
  policy  = "round_robin"
}

# Whoever has the least to do.
pool "least" {
  servers = [server.a, server.b, server.c]
  policy  = "least_conn"
}

# Whoever answers soonest.
pool "fastest" {
  servers = [server.a, server.b, server.c]
  policy  = "least_time"
}

# Anybody.
pool "dice" {
  servers = [server.a, server.b, server.c]
  policy  = "random"
}

# The less busy of any two: good when many balancers share the servers.
pool "two" {
  servers = [server.a, server.b, server.c]
  policy  = "random_two"
}

# The same client goes to the same server.
pool "clients" {
  servers = [server.a, server.b, server.c]
  policy  = "ip_hash"
}

# Pages of one user stay on one server, as long as that has no more than 1.25 times the average load.
pool "users" {
  servers = [server.a, server.b, server.c]
  policy  = "hash"
  key     = "cookie:user"
  bounded = 1.25
}

# A cache: each address is kept by one server, and few move when one is lost.
pool "cache" {
  servers = [server.a, server.b, server.c]
  policy  = "maglev"
  key     = "uri"
}

# The first one that works.
pool "first" {
  servers = [server.a, server.b, server.c]
  policy  = "first"
}

# Not a policy: a visitor stays with the server that answered first, whatever picked it.
pool "session" {
  servers = [server.a, server.b, server.c]

  sticky {
    cookie = "shop_server"
  }
}

http "policies" {
  listen = "127.0.0.1:8080"
  pool   = pool.turns

  route "/least/" {
    pool = pool.least
  }
  route "/fastest/" {
    pool = pool.fastest
  }
  route "/dice/" {
    pool = pool.dice
  }
  route "/two/" {
    pool = pool.two
  }
  route "/clients/" {
    pool = pool.clients
  }
  route "/users/" {
    pool = pool.users
  }
  route "/cache/" {
    pool = pool.cache
  }
  route "/first/" {
    pool = pool.first
  }
  route "/session/" {
    pool = pool.session
  }
}
