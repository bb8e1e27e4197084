schema: '1.2'
contents:
  - core.fga
  - clickhouse.fga
  - clickpipes.fga
  - hyperdx.fga
  - sqlconsole.fga
