Help comes from the table.

$ rocd --version
$ rocd help mdw
$ rocd help flash
