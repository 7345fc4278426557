-- Reads a page of rows of one bucket, by their order or by an index. The layout is in redis_table.py.
--
-- KEYS: the bucket's versions, the sorted set.
-- ARGV: TABLE, version, what the rows' names begin with, how many bytes stand before the key in an entry, the
--   bounds of the page as ZRANGE BYLEX takes them, the number of rows at most, the side (REV from the greatest), the
--   fields.
-- The first field is one that every row has: a row without it has not yet come to this node of a cluster.
-- Returns each entry and the values of its row's fields; {1, the bucket's version or nothing} when the schema is of
--   another version.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored ~= ARGV[2] then
  return {1, stored}
end
local entries
if ARGV[8] == 'REV' then
  entries = redis.call('ZRANGE', KEYS[2], ARGV[6], ARGV[5], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[7])
else
  entries = redis.call('ZRANGE', KEYS[2], ARGV[5], ARGV[6], 'BYLEX', 'LIMIT', 0, ARGV[7])
end
local rows, skip = {}, tonumber(ARGV[4])
for i, entry in ipairs(entries) do
  rows[2 * i - 1] = entry
  local row = redis.call('HMGET', ARGV[3] .. string.sub(entry, skip + 1), unpack(ARGV, 9))
  if not row[1] then
    return redis.error_reply('TRYAGAIN the rows of this slot are being moved')
  end
  rows[2 * i] = row
end
return rows
