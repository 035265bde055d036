# A PHP application (Laravel, Symfony, WordPress) without a web server of its own: Skein serves its files and lets php-fpm on this
# machine run its scripts.
#
#   skein run php.hcl

pool "php" {
  servers   = ["unix:/run/php/php8.2-fpm.sock"]
  protocol  = "fastcgi"
  max_conns = 50 # as many as pm.max_children; more requests wait here, in a queue that is bounded

  check {
    tcp = true
  }
  timeouts {
    first_byte = "60s" # above max_execution_time
  }
}

http "shop" {
  listen   = ":8080"
  hosts    = ["shop.example.com"]
  pool     = pool.php
  max_body = "20MiB" # as post_max_size

  # A path that is no file is the application's: /index.php decides. What other directories hold, such as .env, is not below root.
  files {
    root   = "/srv/shop/current/public"
    params = { APP_ENV = "production" }
  }
  compress {
  }

  # What the build made never changes under its name, so what is not there is not the application's to answer either.
  route "/build/" {
    files {
      root = "/srv/shop/current/public"
      try  = ["{path}", "=404"]
    }
    response_headers {
      set = { Cache-Control = "public, max-age=31536000, immutable" }
    }
  }
}
