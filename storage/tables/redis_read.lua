-- Reads rows of one bucket, all at one moment.
--
-- KEYS: the rows. ARGV: for each, the number of its fields, and these.
-- Returns the values of each row's fields.

local rows, at = {}, 1
for i, row in ipairs(KEYS) do
  local count = tonumber(ARGV[at])
  rows[i] = redis.call('HMGET', row, unpack(ARGV, at + 1, at + count))
  at = at + count + 1
end
return rows
