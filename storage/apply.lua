#!lua
-- The store's one call: all checks, then all changes. A script runs alone and reaches the append-only file as one
-- transaction, so it happens as a whole or not at all. Nothing may fail after the first change.
--
-- ARGV is a list of sections, each with its count first; storage/redis_layout.py builds it and names the keys.
-- Returns the number of entries in the replay guard, or {reason, all cells, what failed}.

local ABSENT = string.rep('\0', 40)
local CHUNK = 3000 -- arguments of one command; unpack() takes some 8,000

local at = 1

local function take()
  at = at + 1
  return ARGV[at - 1]
end

local function count()
  return tonumber(take())
end

local function refuse(reason, what)
  return { reason, redis.call('HGETALL', 'cells'), what }
end

-- Cells: n, names, values.
local n = count()
if n > 0 then
  local present = redis.call('HMGET', 'cells', unpack(ARGV, at, at + n - 1))
  for i = 1, n do
    if (present[i] or '') ~= ARGV[at + n + i - 1] then
      return refuse('cell', {})
    end
  end
  at = at + 2 * n
end

-- Unseen: buckets; each: minute, n, request_ids.
local replayed = {}
for _ = 1, count() do
  local bucket = 'replay:' .. take()
  n = count()
  for first = at, at + n - 1, CHUNK do
    local last = math.min(first + CHUNK, at + n) - 1
    local known = redis.call('HMGET', bucket, unpack(ARGV, first, last))
    for i = first, last do
      local sequence = known[i - first + 1]
      if sequence then
        replayed[#replayed + 1] = ARGV[i]
        replayed[#replayed + 1] = sequence
      end
    end
  end
  at = at + n
end
if #replayed > 0 then
  return refuse('replay', replayed)
end

-- Reads: n, records, and all heads in one string, which is compared as one.
n = count()
local reads = at
local head_keys = {}
local heads = {}
for first = 1, n, CHUNK do
  local last = math.min(first + CHUNK - 1, n)
  for i = first, last do
    head_keys[i] = 'h:' .. ARGV[reads + i - 1]
  end
  local present = redis.call('MGET', unpack(head_keys, first, last))
  for i = first, last do
    heads[i] = present[i - first + 1] or ABSENT -- nil comes as false, so there are no gaps
  end
end
at = at + n
local expected = take()
local stale = {}
if table.concat(heads) ~= expected then
  for i = 1, n do
    if heads[i] ~= string.sub(expected, 40 * i - 39, 40 * i) then
      stale[#stale + 1] = i - 1
    end
  end
  return refuse('read', stale)
end

-- Scans: n; each: index, from, to, prefix of its records, rows, keys, heads.
local function differs(index, from, to, prefix, rows)
  local keys = redis.call('ZRANGE', index, from, to, 'BYLEX', 'LIMIT', 0, rows + 1)
  if #keys ~= rows then
    return true
  end
  for i = 1, rows do
    if keys[i] ~= ARGV[at + i - 1] or redis.call('GET', 'h:' .. prefix .. keys[i]) ~= ARGV[at + rows + i - 1] then
      return true
    end
  end
  return false
end

for i = 1, count() do
  local index, from, to, prefix, rows = take(), take(), take(), take(), count()
  if differs(index, from, to, prefix, rows) then
    stale[#stale + 1] = i - 1
  end
  at = at + 2 * rows
end
if #stale > 0 then
  return refuse('scan', stale)
end

-- Everything holds. From here on nothing is refused.

local pairs_to_set = {}
local pending = 0

local function flush()
  if pending > 0 then
    redis.call('MSET', unpack(pairs_to_set, 1, pending))
    pending = 0
  end
end

local function set(key, value)
  pairs_to_set[pending + 1] = key
  pairs_to_set[pending + 2] = value
  pending = pending + 2
  if pending >= CHUNK then
    flush()
  end
end

-- Newest versions: n, packed records; the first n records of the reads are theirs.
for i = 1, count() do
  local packed = take()
  set('v:' .. ARGV[reads + i - 1] .. string.sub(packed, 1, 8), packed)
  set(head_keys[i], string.sub(packed, 1, 40))
end

-- Versions that were newest only within this call: n; each: record, packed record.
for _ = 1, count() do
  local record, packed = take(), take()
  set('v:' .. record .. string.sub(packed, 1, 8), packed)
end
flush()

-- New keys: n; each: index, key.
for _ = 1, count() do
  local index, key = take(), take()
  redis.call('ZADD', index, 0, key)
end

-- Replay guard: the first minute that stays; then buckets; each: minute, n, request_ids and sequences in turn.
local gone = redis.call('ZRANGE', 'replay', '-inf', '(' .. take(), 'BYSCORE')
for _, minute in ipairs(gone) do
  redis.call('DECRBY', 'replay_entries', redis.call('HLEN', 'replay:' .. minute))
  redis.call('UNLINK', 'replay:' .. minute)
  redis.call('ZREM', 'replay', minute)
end
for _ = 1, count() do
  local minute = take()
  n = 2 * count()
  local added = 0
  for first = at, at + n - 1, CHUNK do
    added = added + redis.call('HSET', 'replay:' .. minute, unpack(ARGV, first, math.min(first + CHUNK, at + n) - 1))
  end
  at = at + n
  redis.call('ZADD', 'replay', minute, minute)
  redis.call('INCRBY', 'replay_entries', added)
end

-- Cells: n; each: name, value.
for _ = 1, count() do
  local name, value = take(), take()
  if value == '' then
    redis.call('HDEL', 'cells', name)
  else
    redis.call('HSET', 'cells', name, value)
  end
end

-- Outbox: n to trim; each: kind, number. Then n to put; each: kind, number, message.
for _ = 1, count() do
  local kind, below = take(), '(' .. take()
  for _, number in ipairs(redis.call('ZRANGE', 'outbox:' .. kind, '-inf', below, 'BYSCORE')) do
    redis.call('UNLINK', 'entry:' .. kind .. ':' .. number)
  end
  redis.call('ZREMRANGEBYSCORE', 'outbox:' .. kind, '-inf', below)
end
for _ = 1, count() do
  local kind, number, message = take(), take(), take()
  redis.call('SET', 'entry:' .. kind .. ':' .. number, message)
  redis.call('ZADD', 'outbox:' .. kind, number, number)
end

return tonumber(redis.call('GET', 'replay_entries') or '0')
