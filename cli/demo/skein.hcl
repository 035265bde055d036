# One site on three servers. A real file differs in the addresses.
servers = {
  one   = "ONE"
  two   = "TWO"
  three = "THREE"
}

pool "site" {
  servers = [server.one, server.two, server.three]
  check {
    http  = "/up"
    every = "1s"
  }
  eject { # after errors of real requests
    time = "2s"
  }
}

http "demo" {
  listen = "LISTEN"
  pool   = pool.site
  route "/demo/" { # the buttons of the page
    pool = pool.buttons
  }
}

pool "buttons" {
  servers = ["CONTROL"]
}

state = "DIR"
admin {
  socket = "DIR/skein.sock"
}
