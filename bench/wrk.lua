-- Asks for the paths in the file PATHS, each in its turn, or for that of the URL where there is none;
-- prints requests and bytes a second, and the errors that there were.
local paths = {}
local name = os.getenv("PATHS")
if name then
    for line in io.lines(name) do paths[#paths + 1] = line end
end
local at = 0

function request()
    if #paths == 0 then return wrk.format() end
    at = at % #paths + 1
    return wrk.format("GET", paths[at])
end

function done(summary, latency)
    local seconds = summary.duration / 1e6
    local e = summary.errors
    print(string.format("figures %f %f %f %d", summary.requests / seconds, summary.bytes / seconds,
        latency.mean / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
