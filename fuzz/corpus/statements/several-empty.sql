;;/* a */ SELECT 1 ;-- b
; ;