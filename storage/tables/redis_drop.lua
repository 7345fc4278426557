-- Deletes some rows of a table that was dropped, in one bucket. The layout is in redis_table.py.
--
-- KEYS: the bucket's versions, the table's order and its indexes. ARGV: BUCKET, TABLE, the version that none has, how many rows at most, the fields.
-- The first call ends every batch on the table; the last deletes its indexes. Returns the number of rows that are left.

local call = redis.call
local bucket, number = ARGV[1], ARGV[2]
local order = bucket .. 'o' .. number
call('HSET', KEYS[1], number, ARGV[3])
for _, key in ipairs(call('ZRANGE', order, 0, ARGV[4] - 1)) do
  if call('DEL', bucket .. 'r' .. number .. ':' .. key) == 0 then
    return redis.error_reply('TRYAGAIN the rows of this slot are being moved')
  end
  call('ZREM', order, key)
end
local left = call('ZCARD', order)
if left == 0 then
  for i = 5, #ARGV do
    call('DEL', bucket .. 'i' .. number .. ':' .. ARGV[i])
  end
end
return left
