#!/bin/bash
# Starts one Ganglion homeserver for a black-box suite that gives each server its own network namespace.
# podlet: expose=8008,8448
# podlet: ready=run/ready
#
# Gets SERVER_NAME, POD_ROOT (all state goes below it), POD_IP, and the suite's authority in
# $POD_ROOT/complement/ca/ca.{crt,key}. Serves HTTP on 8008 and HTTPS on 8448.
#
# LAUNCH_MODE          `workers`: eight processes with Redis behind nginx; else one process
# LAUNCH_LOG_LEVEL     lowest level that is logged (default WARNING)
# LAUNCH_ROOM_VERSION  default room version (default 11: suites count on creators standing in the power levels)
# LAUNCH_EXTRA_CONFIG  YAML that is put at the end of the configuration
set -euo pipefail
umask 022

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
program=$(readlink -f "$here/../../bin/ganglion")
ca=$POD_ROOT/complement/ca
data=$POD_ROOT/data
# Sockets have short paths only.
sockets=$POD_ROOT/run
ready=$POD_ROOT/run/ready
mode=${LAUNCH_MODE:-monolith}
mkdir -p "$data" "$sockets"
rm -f "$ready"

# A certificate for our name, signed by the suite's authority; each run of the suite has another authority.
make_certificate() {
  printf 'subjectAltName=DNS:%s\n' "$SERVER_NAME" > "$data/san.cnf"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$SERVER_NAME" \
    -keyout "$data/tls.key" -out "$data/tls.csr" 2> /dev/null
  openssl x509 -req -in "$data/tls.csr" -CA "$ca/ca.crt" -CAkey "$ca/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
    -days 30 -extfile "$data/san.cnf" -out "$data/tls.crt" 2> /dev/null
}

# A server that is started again is the same server: its signing key stays.
make_signing_key() {
  [ -f "$data/signing.key" ] && return
  printf 'ed25519 a_%s %s\n' "$(openssl rand -hex 2)" "$(openssl rand -base64 32 | tr -d '=')" > "$data/signing.key"
  chmod 600 "$data/signing.key"
}

appservice_files() {
  local file found=
  for file in "$POD_ROOT"/complement/appservice/*.yaml; do
    [ -e "$file" ] && found+="  - $file"$'\n'
  done
  [ -z "$found" ] || printf 'app_service_config_files:\n%s' "$found"
}

monolith_config() {
  cat << YAML
listeners:
  - { port: 8008, type: http, tls: false, bind_addresses: ["0.0.0.0"], resources: [{ names: [client, federation] }] }
  - { port: 8448, type: http, tls: true, bind_addresses: ["0.0.0.0"], resources: [{ names: [client, federation] }] }
YAML
}

# Arguments: name of the process, resources for clients and servers (none: it has no such listener).
listener_list() {
  printf '  - { path: "%s/%s.r", type: http, resources: [{ names: [replication] }] }\n' "$sockets" "$1"
  [ -z "$2" ] || printf '  - { path: "%s/%s.s", type: http, x_forwarded: true, resources: [{ names: [%s] }] }\n' "$sockets" "$1" "$2"
}

workers_config() {
  local name stream
  printf 'listeners:\n'
  listener_list main 'client, federation'
  printf 'instance_map:\n'
  for name in main $workers; do printf '  %s: { path: "%s/%s.r" }\n' "$name" "$sockets" "$name"; done
  printf 'stream_writers:\n  events: [persister1, persister2]\n'
  for stream in typing to_device account_data receipts presence push_rules device_lists; do printf '  %s: streams1\n' "$stream"; done
  cat << YAML
redis: { enabled: true, path: "$sockets/redis" }
worker_replication_secret: blackbox
worker_log_config: "$data/log.yaml"
run_background_tasks_on: background1
update_user_directory_from_worker: background1
notify_appservices_from_worker: background1
pusher_instances: [background1]
federation_sender_instances: [background1]
media_instance_running_background_jobs: media1
enable_media_repo: false
YAML
}

write_workers() {
  local name app resources more
  rm -rf "$data/workers"
  mkdir "$data/workers"
  for name in $workers; do
    app=generic_worker resources='client, federation' more=
    case $name in
      persister* | background*) resources= ;;
      streams*) resources=client ;;
      media*) app=media_repository resources=media more='enable_media_repo: true' ;;
    esac
    {
      printf 'worker_app: synapse.app.%s\nworker_name: %s\n%s\nworker_listeners:\n' "$app" "$name" "$more"
      listener_list "$name" "$resources"
    } > "$data/workers/$name.yaml"
  done
}

write_config() {
  cat > "$data/log.yaml" << YAML
version: 1
formatters: { line: { format: '%(asctime)s - %(name)s - %(levelname)s - %(message)s' } }
handlers: { out: { class: logging.StreamHandler, formatter: line, stream: ext://sys.stdout } }
root: { level: ${LAUNCH_LOG_LEVEL:-WARNING}, handlers: [out] }
disable_existing_loggers: false
YAML

  cat > "$data/homeserver.yaml" << YAML
server_name: "$SERVER_NAME"
public_baseurl: "http://127.0.0.1:8008/"
pid_file: "$data/homeserver.pid"
log_config: "$data/log.yaml"
signing_key_path: "$data/signing.key"
tls_certificate_path: "$data/tls.crt"
tls_private_key_path: "$data/tls.key"
macaroon_secret_key: "blackbox"
report_stats: false

$("${mode}_config")

database: { name: embedded, data_directory: "$data/postgres" }
media_store_path: "$data/media"
max_upload_size: 50M
# Some suites still fetch media without a token.
enable_authenticated_media: false
dynamic_thumbnails: false
url_preview_enabled: true
url_preview_ip_range_blacklist: []

# Federation: the suite's servers and its authority, at private addresses, with no outside key server.
trusted_key_servers: []
federation_custom_ca_list: ["$ca/ca.crt"]
federation_ip_range_blacklist: []
ip_range_blacklist: []
allow_device_name_lookup_over_federation: true

# Registration
enable_registration: true
enable_registration_without_verification: true
registration_shared_secret: complement
bcrypt_rounds: 4

default_room_version: "${LAUNCH_ROOM_VERSION:-11}"
room_list_publication_rules: [{ action: allow }]
server_notices:
  system_mxid_localpart: _server
  system_mxid_display_name: "Server Alert"
  system_mxid_avatar_url: ""
  room_name: "Server Alert"
max_event_delay_duration: 24h
experimental_features:
  msc3381_polls_enabled: true
  msc3391_enabled: true
  msc3890_enabled: true
  msc4155_enabled: true

# No rate limits
rc_federation: { window_size: 1000, sleep_limit: 10, sleep_delay: 500, reject_limit: 99999, concurrent: 3 }
federation_rr_transactions_per_room_per_second: 9999
rc_message: &free { per_second: 9999, burst_count: 9999 }
rc_registration: *free
rc_login: { address: *free, account: *free, failed_attempts: *free }
rc_admin_redaction: *free
rc_joins: { local: *free, remote: *free }
rc_joins_per_room: *free
rc_3pid_validation: *free
rc_invites: { per_room: *free, per_user: *free, per_issuer: *free }
rc_presence: { per_user: *free }
rc_delayed_event_mgmt: *free
rc_room_creation: *free
rc_user_directory: *free
$(appservice_files)
${LAUNCH_EXTRA_CONFIG:-}
YAML
}

answers() {
  local status
  { exec 3<> /dev/tcp/127.0.0.1/8008; } 2> /dev/null || return 1
  printf 'GET /_matrix/client/versions HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t 5 status <&3 || return 1
  exec 3>&-
  [[ $status == *' 200 '* ]]
}

start_monolith() {
  "$program" homeserver -c "$data/homeserver.yaml" &
  server=$!
}

start_workers() {
  write_workers
  rm -f "$sockets"/*.[rs] "$sockets/redis" "$sockets/all-run"
  redis-server --port 0 --unixsocket "$sockets/redis" --save '' --appendonly no --dir "$data" --loglevel warning &
  helpers+=($!)
  # It prints where the server listens when all processes are ready.
  "$program" up -c "$data/homeserver.yaml" -a "$data/workers" > >(pass_on) 2>&1 &
  server=$!
  # Its temporary folders are below our own.
  mkdir -p "$data/nginx"
  "$program" proxy-config nginx -c "$data/homeserver.yaml" -a "$data/workers" --with-tls "$data/tls.crt" "$data/tls.key" \
    --listen http:8008 --listen 8448 |
    sed "s|^http {|&$(printf " %s_temp_path $data/nginx/%s;" client_body client_body proxy proxy fastcgi fastcgi uwsgi uwsgi scgi scgi)|
      s|^worker_processes .*|worker_processes 1;|" > "$data/nginx.conf"
  nginx -p "$data/nginx" -c "$data/nginx.conf" -e stderr \
    -g "daemon off; pid $data/nginx/pid; error_log stderr error;$([ "$(id -u)" != 0 ] || printf ' user root;')" &
  helpers+=($!)
}

pass_on() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line"
    [[ $line != 'listening on '* ]] || touch "$sockets/all-run"
  done
}

all_run() {
  [ "$mode" = monolith ] || [ -e "$sockets/all-run" ]
}

workers='generic1 generic2 persister1 persister2 streams1 media1 background1'
helpers=()
make_certificate
make_signing_key
write_config
"start_$mode"
# bash runs a trap only after the command in the foreground has ended, so the server runs in the background.
stopping=
trap 'stopping=yes; kill -TERM "$server" 2> /dev/null || true' TERM INT

while kill -0 "$server" 2> /dev/null; do
  if all_run && answers; then
    touch "$ready"
    break
  fi
  sleep 0.05
done

status=0
wait "$server" || status=$?
# A signal ends the first wait; the second one gets the server's own status.
if [ -n "$stopping" ] && [ "$status" -gt 128 ]; then
  status=0
  wait "$server" || status=$?
fi
[ ${#helpers[@]} = 0 ] || kill -TERM "${helpers[@]}" 2> /dev/null || true
exit "$status"
