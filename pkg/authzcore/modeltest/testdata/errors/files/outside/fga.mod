schema: '1.2'
contents:
  - ../../../good/files/model.fga
