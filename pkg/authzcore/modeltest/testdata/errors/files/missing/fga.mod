schema: '1.2'
contents:
  - gone.fga
