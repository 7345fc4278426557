-- Checks and applies a batch within one bucket: all of it, or nothing. The layout is in redis_table.py.
--
-- KEYS: the bucket's versions, the row of each mutation, then the order and the indexes of each table: everything that
--   is touched, so that a cluster which moves the bucket key by key refuses the batch before it begins.
-- ARGV: BUCKET; number of tables, TABLE of each, the version of each; for each table the length of what its rows' names
--   begin with, number of indexes, their fields. Then for each mutation: which table, a letter (i insert, p upsert,
--   u update, d delete, e delete what must be there, c check, a check for absence); with u, e and c a predicate; with
--   i, p and u the number of values, field and value of each, the number of nulls, the field of each.
-- A predicate is one of: T, F; a or o, a number and so many predicates; a comparison, a field and, but for 0 and 1,
--   a value: = ! < l > g (as = <> < <= > >=), 0 1 (is null, is not null), ~ ^ (like, not like).
-- Returns nothing when it is done; the number of a mutation, from 0, whose condition does not hold;
--   {which table, the bucket's version or nothing} when a schema is of another version.
-- Time is spent in calls of the server and in names that are not local, so there are few of both. Numbers among the
-- arguments are added as the strings that they are.

local call, sub, byte = redis.call, string.sub, string.byte
local KEYS, ARGV = KEYS, ARGV
local at = 0

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

-- Reads a whole predicate, also where its outcome is known before its end. The second result says whether a row that
-- satisfies it is there without doubt.
local function holds(row)
  local kind = ARGV[at + 1]
  if kind == '=' then
    at = at + 3
    local equal = call('HGET', row, ARGV[at - 1]) == ARGV[at]
    return equal, equal
  end
  at = at + 1
  if kind == 'T' then return true end
  if kind == 'F' then return false end
  if kind == 'a' or kind == 'o' then
    local outcome, there = kind == 'a', false
    at = at + 1
    for _ = 1, ARGV[at] do
      local part, part_there = holds(row)
      if kind == 'a' then
        outcome, there = outcome and part, there or part_there
      else
        outcome = outcome or part
      end
    end
    return outcome, there
  end
  at = at + 1
  local stored = call('HGET', row, ARGV[at])
  if kind == '0' then return not stored end
  if kind == '1' then return stored and true, stored and true end
  at = at + 1
  if stored and compare(kind, stored, ARGV[at]) then
    return true, true
  end
  return false
end

local count = ARGV[2] + 0
local bucket, stored = ARGV[1], call('HMGET', KEYS[1], unpack(ARGV, 3, 2 + count))
at = 2 + 2 * count
local tables, sets = {}, count
for i = 1, count do
  local number = ARGV[2 + i]
  if stored[i] ~= ARGV[2 + count + i] then
    return {i, stored[i]}
  end
  local indexes = {}
  for k = 1, ARGV[at + 2] do
    local field = ARGV[at + 2 + k]
    indexes[k] = field
    indexes[field] = bucket .. 'i' .. number .. ':' .. field
  end
  tables[tostring(i)] = {start = ARGV[at + 1] + 1, order = bucket .. 'o' .. number, indexes = indexes}
  at = at + 2 + #indexes
  sets = sets + #indexes
end

-- First everything is read and checked; what is to be written waits. Seven places for each write, all of it in one
-- table: the row, its table, whether it is there, where its values begin, how many strings they are, where its nulls
-- begin, how many they are; a row to be deleted has no values.
local writes, last = {}, 0
for i = 2, #KEYS - sets do
  local row, of, letter = KEYS[i], tables[ARGV[at + 1]], ARGV[at + 2]
  at = at + 2
  local exists
  if letter == 'u' or letter == 'c' or letter == 'e' then
    local satisfied
    satisfied, exists = holds(row)
    if not satisfied or not (exists or call('EXISTS', row) == 1) then
      return i - 2
    end
    exists = true
  else
    exists = call('EXISTS', row) == 1
    if exists and (letter == 'i' or letter == 'a') then
      return i - 2
    end
  end
  if letter == 'u' or letter == 'i' or letter == 'p' then
    local values = 2 * ARGV[at + 1]
    local nulls = ARGV[at + values + 2] + 0
    writes[last + 1], writes[last + 2], writes[last + 3] = row, of, exists
    writes[last + 4], writes[last + 5] = at + 2, values
    writes[last + 6], writes[last + 7] = at + values + 3, nulls
    last = last + 7
    at = at + values + 2 + nulls
  elseif exists and (letter == 'd' or letter == 'e') then
    writes[last + 1], writes[last + 2], writes[last + 4] = row, of, false
    last = last + 7
  end
end

local function entry(value, key)
  return struct.pack('>I4', #value) .. value .. key
end

-- What goes from the indexes goes last. A set that was empty in between would be gone from a node that is moving its
-- slot, and could not be filled there again.
local gone = {}

local function unindex(row, field, index, key)
  local old = call('HGET', row, field)
  if old then
    gone[#gone + 1], gone[#gone + 2] = index, entry(old, key)
  end
end

local function reindex(row, of, exists, first_value, values, first_null, nulls)
  local indexes, key = of.indexes, sub(row, of.start)
  for i = first_value, first_value + values - 1, 2 do
    local index = indexes[ARGV[i]]
    if index then
      local old, new = exists and call('HGET', row, ARGV[i]), ARGV[i + 1]
      if old ~= new then
        call('ZADD', index, 0, entry(new, key))
        if old then
          gone[#gone + 1], gone[#gone + 2] = index, entry(old, key)
        end
      end
    end
  end
  for i = first_null, first_null + nulls - 1 do
    if exists and indexes[ARGV[i]] then
      unindex(row, ARGV[i], indexes[ARGV[i]], key)
    end
  end
end

for i = 1, last, 7 do
  local row, of, exists, first_value = writes[i], writes[i + 1], writes[i + 2], writes[i + 3]
  if first_value then
    local values, first_null, nulls = writes[i + 4], writes[i + 5], writes[i + 6]
    if #of.indexes > 0 then
      reindex(row, of, exists, first_value, values, first_null, nulls)
    end
    if not exists then
      call('ZADD', of.order, 0, sub(row, of.start))
      call('HSET', row, '', '', unpack(ARGV, first_value, first_value + values - 1))
    elseif values > 0 then
      call('HSET', row, unpack(ARGV, first_value, first_value + values - 1))
    end
    if exists and nulls > 0 then
      call('HDEL', row, unpack(ARGV, first_null, first_null + nulls - 1))
    end
  else
    local key = sub(row, of.start)
    for _, field in ipairs(of.indexes) do
      unindex(row, field, of.indexes[field], key)
    end
    call('ZREM', of.order, key)
    call('DEL', row)
  end
end
for i = 1, #gone, 2 do
  call('ZREM', gone[i], gone[i + 1])
end
return nil
