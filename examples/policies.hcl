# Each way to pick the next server, on a port of its own.
#
#   skein run policies.hcl

servers = {
  a = "10.0.0.11:8080"
  b = "10.0.0.12:8080"
  c = "10.0.0.13:8080"
}

# Turn by turn, a twice as often as the others.
pool "turns" {
  servers = [server.a, server.b, server.c]
  weights = { a = 2 }
}

# Whoever has the least to do.
pool "least" {
  servers = [server.a, server.b, server.c]
  policy  = "least_conn"
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

# A visitor stays with the server that answered first.
pool "session" {
  servers = [server.a, server.b, server.c]

  sticky {
    cookie = "shop_server"
  }
}

http "turns" {
  listen = "127.0.0.1:8081"
  pool   = pool.turns
}

http "least" {
  listen = "127.0.0.1:8082"
  pool   = pool.least
}

http "users" {
  listen = "127.0.0.1:8083"
  pool   = pool.users
}

http "cache" {
  listen = "127.0.0.1:8084"
  pool   = pool.cache
}

http "session" {
  listen = "127.0.0.1:8085"
  pool   = pool.session
}
