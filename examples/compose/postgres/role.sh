#!/bin/sh
# Run once by the image of PostgreSQL: a role that owns its database and nothing else.
set -eu
psql --username postgres --set ON_ERROR_STOP=1 --set password="$ROUTER_PASSWORD" <<'SQL'
CREATE ROLE tallyroute LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE ROLE finance NOLOGIN; -- whom the router lets read its views
CREATE DATABASE tallyroute OWNER tallyroute;
REVOKE ALL ON DATABASE tallyroute FROM PUBLIC;
SQL
