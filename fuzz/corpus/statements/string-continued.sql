SELECT id FROM sales WHERE code = 'a'
  'b' AND label = E'c\'d'