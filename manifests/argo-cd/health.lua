-- Health of a Connector or Dataset for Argo CD, from the conditions in its status. Only the base library is there.
local status = obj.status
if status == nil or status.conditions == nil then
  return {status = "Progressing", message = "The operator has not visited it yet."}
end
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not seen the newest spec yet."}
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local ready = conditions.Ready or {}
local message = ready.message
if ready.reason ~= nil then
  message = ready.reason .. ": " .. (ready.message or "")
end
if holds("Stalled") or (status.state ~= nil and status.state.status == "errored") then
  return {status = "Degraded", message = message}
end
if holds("Ready") and not holds("Reconciling") then
  return {status = "Healthy", message = message}
end
return {status = "Progressing", message = message}
