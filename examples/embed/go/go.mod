module nlpsuite/embed

go 1.19
