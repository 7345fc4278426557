-- Checks and applies a batch within one bucket: all of it, or nothing. The layout is in redis_table.py.
--
-- KEYS: the bucket's versions, then the row of each mutation.
-- ARGV: BUCKET; number of tables, and for each: TABLE, version, length of what its rows' names begin with, number
--   of indexes, their fields. Then for each mutation: which table, a letter (i insert, p upsert, u update, d delete,
--   e delete what must be there, c check, a check for absence); with u, e and c a predicate; with i, p and u the
--   number of values, field and value of each, the number of nulls, the field of each.
-- A predicate is one of: T, F; a or o, a number and so many predicates; a comparison, a field and, but for 0 and 1,
--   a value: = ! < l > g (as = <> < <= > >=), 0 1 (is null, is not null), ~ ^ (like, not like).
-- Returns nothing when it is done; the number of a mutation, from 0, whose condition does not hold;
--   {which table, the bucket's version or nothing} when a schema is of another version.

local call, sub, byte = redis.call, string.sub, string.byte
local at = 0

local function take()
  at = at + 1
  return ARGV[at]
end

-- Lua's own comparison of strings depends on the server's locale.
local function less(one, other)
  local length = math.min(#one, #other)
  for i = 1, length do
    local a, b = byte(one, i), byte(other, i)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Where the character at `i` ends, in UTF-8.
local function after(text, i)
  i = i + 1
  while i <= #text and byte(text, i) >= 128 and byte(text, i) < 192 do
    i = i + 1
  end
  return i
end

local function like(text, pattern)
  local i, j = 1, 1
  local retry_text, retry_pattern
  while true do
    local sign = sub(pattern, j, j)
    if sign == '%' then
      retry_text, retry_pattern = i, j + 1
      j = j + 1
    elseif sign == '' and i > #text then
      return true
    elseif sign ~= '' and sign == '_' and i <= #text then
      i, j = after(text, i), j + 1
    else
      local literal, width = sign, 1
      if sign == '\\' then
        literal, width = sub(pattern, j + 1, j + 1), 2
      end
      if sign ~= '' and sign ~= '_' and i <= #text and sub(text, i, i) == literal then
        i, j = i + 1, j + width
      elseif retry_text and retry_text <= #text then
        retry_text = after(text, retry_text)
        i, j = retry_text, retry_pattern
      else
        return false
      end
    end
  end
end

local function compare(kind, stored, value)
  if kind == '=' then return stored == value end
  if kind == '!' then return stored ~= value end
  if kind == '<' then return less(stored, value) end
  if kind == 'l' then return not less(value, stored) end
  if kind == '>' then return less(value, stored) end
  if kind == 'g' then return not less(stored, value) end
  return like(stored, value) == (kind == '~')
end

-- Reads a whole predicate, also where its outcome is known before its end.
local function holds(row)
  local kind = take()
  if kind == 'T' then return true end
  if kind == 'F' then return false end
  if kind == 'a' or kind == 'o' then
    local outcome = kind == 'a'
    for _ = 1, tonumber(take()) do
      local part = holds(row)
      if kind == 'a' then outcome = outcome and part else outcome = outcome or part end
    end
    return outcome
  end
  local stored = call('HGET', row, take())
  if kind == '0' then return not stored end
  if kind == '1' then return stored and true end
  local value = take()
  return stored and compare(kind, stored, value)
end

local bucket = take()
local tables = {}
for i = 1, tonumber(take()) do
  local number, version = take(), take()
  local stored = call('HGET', KEYS[1], number)
  if stored ~= version then
    return {i, stored}
  end
  local start, indexes = tonumber(take()), {}
  for k = 1, tonumber(take()) do
    local field = take()
    indexes[k] = field
    indexes[field] = bucket .. 'i' .. number .. ':' .. field
  end
  tables[i] = {start = start, order = bucket .. 'o' .. number, indexes = indexes}
end

-- First everything is read and checked; what is to be written waits.
local writes = {}
for i = 2, #KEYS do
  local row, of, letter = KEYS[i], tables[tonumber(take())], take()
  local exists = call('EXISTS', row) == 1
  local satisfied = true
  if letter == 'i' or letter == 'a' then
    satisfied = not exists
  elseif letter == 'u' or letter == 'e' or letter == 'c' then
    satisfied = holds(row) and exists
  end
  if not satisfied then
    return i - 2
  end
  if letter == 'i' or letter == 'p' or letter == 'u' then
    local values = 2 * tonumber(take())
    local first_value = at + 1
    at = at + values
    local nulls = tonumber(take())
    writes[#writes + 1] = {row, of, exists, first_value, values, at + 1, nulls}
    at = at + nulls
  elseif exists and (letter == 'd' or letter == 'e') then
    writes[#writes + 1] = {row, of}
  end
end

local function entry(value, key)
  return struct.pack('>I4', #value) .. value .. key
end

local function unindex(row, field, index, key)
  local old = call('HGET', row, field)
  if old then
    call('ZREM', index, entry(old, key))
  end
end

local function put(row, of, exists, first_value, values, first_null, nulls)
  local indexes, key = of.indexes, sub(row, of.start + 1)
  if #indexes > 0 then
    for i = first_value, first_value + values - 1, 2 do
      local index = indexes[ARGV[i]]
      if index then
        if exists then
          unindex(row, ARGV[i], index, key)
        end
        call('ZADD', index, 0, entry(ARGV[i + 1], key))
      end
    end
    for i = first_null, first_null + nulls - 1 do
      if exists and indexes[ARGV[i]] then
        unindex(row, ARGV[i], indexes[ARGV[i]], key)
      end
    end
  end
  if not exists then
    call('ZADD', of.order, 0, key)
    call('HSET', row, '', '', unpack(ARGV, first_value, first_value + values - 1))
  elseif values > 0 then
    call('HSET', row, unpack(ARGV, first_value, first_value + values - 1))
  end
  if exists and nulls > 0 then
    call('HDEL', row, unpack(ARGV, first_null, first_null + nulls - 1))
  end
end

for _, write in ipairs(writes) do
  if write[4] then
    put(unpack(write))
  else
    local row, of = write[1], write[2]
    local key = sub(row, of.start + 1)
    for _, field in ipairs(of.indexes) do
      unindex(row, field, of.indexes[field], key)
    end
    call('ZREM', of.order, key)
    call('DEL', row)
  end
end
return nil
