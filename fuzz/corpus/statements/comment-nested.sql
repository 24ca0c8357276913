SELECT /* a /* b */ ; */ id FROM sales -- where; 
 WHERE id = 1