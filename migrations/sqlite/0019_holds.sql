-- Here a hold could always grow to several times the most that one reserves.
SELECT 1;
