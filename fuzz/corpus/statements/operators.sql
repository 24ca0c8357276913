SELECT id @> 1, id<-1, id--1
 FROM sales WHERE (id, line) OVERLAPS (1, 2)