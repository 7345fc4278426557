-- Brings one bucket to a newer version of a table's schema. The layout is in redis_table.py.
--
-- KEYS: the bucket's versions, the table's order, an index of each column, with or without. ARGV: BUCKET, TABLE, the version, number of columns without an index, their fields,
--   number of indexes, field and version since which there is one of each, number of dropped columns, field and
--   version in which each was dropped.
-- Does nothing in a bucket that is as new already, or where the table was dropped. Returns nothing.

local call = redis.call
local bucket, number, version = ARGV[1], ARGV[2], tonumber(ARGV[3])
local stored = tonumber(call('HGET', KEYS[1], number) or 0)
if stored >= version then
  return
end
local at = 4

local function take()
  at = at + 1
  return ARGV[at - 1]
end

local function index(field)
  return bucket .. 'i' .. number .. ':' .. field
end

for _ = 1, tonumber(take()) do
  call('DEL', index(take()))
end
local added, dropped = {}, {}
for _ = 1, tonumber(take()) do
  local field, since = take(), tonumber(take())
  if since > stored then
    call('DEL', index(field))  -- of a try that was cut short
    added[#added + 1] = field
  end
end
for _ = 1, tonumber(take()) do
  local field, since = take(), tonumber(take())
  if since > stored then
    dropped[#dropped + 1] = field
  end
end

local low = '-'
while #added > 0 or #dropped > 0 do
  local keys = call('ZRANGE', bucket .. 'o' .. number, low, '+', 'BYLEX', 'LIMIT', 0, 1000)
  for _, key in ipairs(keys) do
    local row = bucket .. 'r' .. number .. ':' .. key
    if call('EXISTS', row) == 0 then
      return redis.error_reply('TRYAGAIN the rows of this slot are being moved')
    end
    for _, field in ipairs(added) do
      local value = call('HGET', row, field)
      if value then
        call('ZADD', index(field), 0, struct.pack('>I4', #value) .. value .. key)
      end
    end
    if #dropped > 0 then
      call('HDEL', row, unpack(dropped))
    end
  end
  if #keys == 0 then
    break
  end
  low = '(' .. keys[#keys]
end
call('HSET', KEYS[1], number, version)
