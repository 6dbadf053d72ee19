-- W1 with inputs that vary, behind the benchmark's own script: a hundred heads at random, and another word in the argument and at the end of
-- the Referer each time. VARIED=long adds an argument, and a path, a number and a query to the Referer.
local systems = { "X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; CrOS x86_64 14541.0.0" }
local languages = { "en-US,en;q=0.5", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9", "es-ES,es;q=0.9", "it-IT,it;q=0.9" }
local heads = {}
for _, system in ipairs(systems) do
  for number, language in ipairs(languages) do
    for version = 1, 5 do
      local head = {}
      for name, value in pairs(wrk.headers) do head[name] = value end
      head["User-Agent"] = "Mozilla/5.0 (" .. system .. ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" .. (115 + version * 2 + number) .. ".0.0.0 Safari/537.36"
      head["Accept-Language"] = language
      heads[#heads + 1] = head
    end
  end
end
local words = { "hello", "order", "blue+shoes", "invoice+2024", "search+term", "status", "alpha", "report", "team-7", "draft" }
local function letters(count)
  local text = ""
  for _ = 1, count do text = text .. string.char(96 + math.random(26)) end
  return text
end
local long = os.getenv("VARIED") == "long"
request = function()
  local head = heads[math.random(#heads)]
  if long then
    head["Referer"] = "https://shop.example.com/catalog/" .. math.random(100000) .. "?page=" .. math.random(50)
    return wrk.format("GET", "/?q=" .. words[math.random(#words)] .. "&id=" .. math.random(1000000), head)
  end
  head["Referer"] = "https://shop.example.com/" .. letters(7)
  return wrk.format("GET", "/?q=" .. letters(5), head)
end
