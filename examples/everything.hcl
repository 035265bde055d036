# Every key of the language once, most with their defaults. Nobody needs all of this: site.hcl is where to start.
#
#   skein run everything.hcl --name lb1

state = "/var/lib/skein"

# Servers that are in no region.
servers = {
  cache1 = "10.9.0.11:8080"
}

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
    web3 = "10.2.0.21:9000" # its own port, where a pool has none
  }
}

server "web1" {
  weight = 2
}

pool "web" {
  servers = [server.web1, server.web2, server.web3, "10.1.0.29:8080"]
  backup  = ["backup.example.com"]
  port    = 8080
  weights = {
    web2             = 3
    "10.1.0.29:8080" = 1
  }
  policy        = "hash"
  key           = "header:X-User"
  bounded       = 1.25
  max_conns     = 100
  queue         = 1000
  queue_timeout = "10s"
  slow_start    = "30s"
  panic         = "10%"
  local_first   = true
  spill         = "50%"
  keepalive     = 256
  protocol      = "http/1.1"
  send_proxy    = false

  sticky {
    cookie  = "skein"
    max_age = "1d"
    path    = "/"
    domain  = "example.com"
  }
  check {
    http    = "/up"
    port    = 8081
    host    = "shop.example.com"
    every   = "2s"
    fast    = "500ms"
    timeout = "1s"
    rise    = 2
    fall    = 3
    status  = [200, "300-399"]
    body    = "ok"
    jitter  = "10%"
  }
  eject {
    errors    = 5
    gateway   = 10
    time      = "10s"
    max_time  = "5m"
    max_share = "50%"
  }
  retry {
    tries  = 3
    budget = "20%"
    floor  = 20
  }
  timeouts {
    connect    = "3s"
    first_byte = "60s"
    idle       = "60s"
    keepalive  = "55s"
  }
}

pool "api" {
  servers = [server.web1]
  port    = 9443

  check {
    https = "/health"
    host  = "api.example.com"
    ca    = "ca.pem"
  }
}

# Members that speak HTTP/2 over TLS and want to see a certificate of ours.
pool "grpc" {
  servers  = [server.web1]
  port     = 9444
  protocol = "h2"

  tls {
    ca     = "ca.pem"
    name   = "grpc.example.com"
    cert   = "skein.pem"
    key    = "skein.key"
    verify = true
  }
  check {
    tcp = true
  }
}

# php-fpm on this machine.
pool "php" {
  servers  = ["unix:/run/php/php8.2-fpm.sock"]
  protocol = "fastcgi"
}

pool "cache" {
  servers = [server.cache1]

  check {
    tcp = true
  }
}

acme {
  email      = "ops@example.com"
  directory  = "https://acme-v02.api.letsencrypt.org/directory"
  ca         = "ca.pem"
  challenges = ["tls-alpn-01", "http-01", "dns-01"]
  dns        = ["/etc/skein/dns-hook", "--zone", "example.com"]
  key        = "p256"
  on_demand  = ["*.shops.example.com"]
  storage    = "/var/lib/skein/acme"

  eab {
    id  = "kid-1"
    key = secret("eab")
  }
}

tls "shop" {
  cert = "shop.pem"
  key  = "shop.key"
}

http "secure" {
  listen         = ["127.0.0.1:8443", "[::1]:8443"]
  hosts          = ["example.com", "*.example.com"]
  tls            = ["acme", tls.shop]
  redirect       = ["127.0.0.1:8083"]
  protocols      = ["http/1.1", "h2", "h3"]
  proxy_protocol = ["10.0.0.0/8"]
  pool           = pool.php

  https {
    min_version     = "1.2"
    tickets         = [secret("tickets"), secret("tickets-old")]
    client_ca       = "ca.pem"
    client_auth     = "request"
    hsts            = "365d"
    hsts_subdomains = true
    hsts_preload    = false
  }
  files {
    root        = "/srv/shop/public"
    index       = ["index.php", "index.html"]
    try         = ["{path}", "{path}/", "/index.php"]
    script      = ".php"
    script_root = "/var/www/public"
    params = {
      APP_ENV     = "production"
      DB_PASSWORD = secret("db")
    }
    hidden = false
  }
  compress {
    encodings = ["zstd", "br", "gzip"]
    types     = ["text/*", "application/json", "image/svg+xml"]
    min_size  = "1KiB"
  }
  limits {
    streams  = 128
    glitches = 100
  }
  timeouts {
    tls = "10s"
  }

  route "/helloworld.Greeter/" {
    pool = pool.grpc

    compress {
      off = true
    }
  }
  route "/assets/" {
    files {
      root        = "/srv/shop/assets"
      index       = ["index.html"]
      try         = ["{path}", "=404"]
      script      = ".php"
      script_root = "/var/www/assets"
      params      = { APP_ENV = "assets" }
      hidden      = true
    }
    compress {
      encodings = ["br"]
      types     = ["text/css"]
      min_size  = "512"
    }
  }
}

http "shop" {
  listen          = ["127.0.0.1:8080", "[::1]:8080"]
  hosts           = ["shop.example.com", "*.shop.example.com"]
  nodes           = [server.lb1, region.hangzhou]
  pool            = pool.web
  trusted_proxies = ["192.0.2.7", "198.51.100.0/24"]
  forwarded       = "both"
  underscores     = false
  upgrades        = ["websocket"]
  max_body        = "10MiB"
  error_pages = {
    "503" = "pages/busy.html"
    "5xx" = "pages/sorry.html"
  }

  request_headers {
    set    = { X-Site = "shop" }
    add    = { Via = "1.1 skein" }
    remove = ["X-Debug"]
  }
  response_headers {
    set    = { Strict-Transport-Security = file("pages/hsts.txt") }
    add    = { Vary = "Accept-Language" }
    remove = ["X-Powered-By", "Server"]
  }
  limits {
    header           = "16KiB"
    fields           = 100
    uri              = "8KiB"
    conns            = 10000
    conns_per_client = 100
  }
  timeouts {
    header   = "10s"
    idle     = "75s"
    body     = "30s"
    min_rate = 240
    ceiling  = "24h"
    tunnel   = "1h"
    drain    = "30s"
  }

  route "/api/" {
    methods  = ["GET", "POST"]
    pool     = pool.api
    strip    = "/api"
    max_body = "1MiB"

    request_headers {
      set    = { X-Api = "1" }
      add    = { X-Via = "shop" }
      remove = ["Cookie"]
    }
    response_headers {
      set    = { Cache-Control = "no-store" }
      add    = { X-Served = "api" }
      remove = ["Set-Cookie"]
    }
    timeouts {
      first_byte = "5s"
      idle       = "10s"
    }
  }

  route "/old" {
    exact    = true
    redirect = "https://{host}/new?{query}"
    status   = 301
  }
}

# The short form: a pool of its own with every default.
http "plain" {
  listen  = "127.0.0.1:8081"
  servers = ["10.9.0.11:8080", "10.9.0.12:8080"]
}

http "cache" {
  listen = "127.0.0.1:8082"
  pool   = pool.cache
}

# Addresses that lb1 and lb2 share.
vip "front" {
  address = ["203.0.113.10/24", "203.0.113.11/24"]
  interface = {
    lb1 = "eth0"
    lb2 = "ens192"
  }
  nodes = [server.lb1, server.lb2]
  priorities = {
    lb1 = 200
    lb2 = 190
  }
  router_id      = 10
  interval       = "100ms"
  version        = 3
  unicast        = true
  checksum       = "auto"
  preempt        = true
  preempt_delay  = "30s"
  start_delay    = "0s"
  group          = "site"
  virtual_mac    = false
  witness        = ["203.0.113.1"]
  handover       = "30s"
  notify         = ["/usr/local/bin/vip-moved", "--site", "shop"]
  notify_timeout = "10s"

  probe {
    every   = "1s"
    timeout = "2s"
    rise    = 2
    fall    = 3
  }
  check "uplink" {
    command = ["/usr/local/bin/uplink-works"]
    every   = "2s"
    timeout = "1s"
    rise    = 2
    fall    = 3
  }
}

vip "front6" {
  address   = "2001:db8:0:1::10/64"
  interface = { lb1 = "eth0", lb2 = "ens192" }
  nodes     = [server.lb1, server.lb2]
  group     = "site"
}

# As an old keepalived has it.
vip "old" {
  address   = "198.51.100.10/24"
  interface = "eth1"
  nodes     = [server.lb2, server.lb1]
  version   = 2
  interval  = "1s"
  password  = secret("vrrp")
}

admin {
  socket = "/run/skein/skein.sock"
  listen = "127.0.0.1:9180"
  pprof  = false
}

log {
  level       = "info"
  format      = "text"
  access      = "json"
  access_file = "/var/log/skein/access.log"
}
