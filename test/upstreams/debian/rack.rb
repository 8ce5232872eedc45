# Rack on Puma, with the middleware that Rails has: Rack::MethodOverride.
require "json"
require "rack"
require "rack/handler/puma"

LOOKUPS = ENV.fetch("LOOKUPS", "").split(",")

def clean(value) = value.is_a?(String) ? value.dup.force_encoding("UTF-8").scrub : value.to_json

def parameters(from)
  from.to_h { |name, value| [clean(name), (value.is_a?(Array) ? value : [value]).map { |v| clean(v) }] }
end

def key(name) = %w[content-type content-length].include?(name) ? name.upcase.tr("-", "_") : "HTTP_" + name.upcase.tr("-", "_")

def route(path)
  case path
  when %r{\A/rest/admin(/.*)?\z}m then ["admin", nil]
  when %r{\A/projects/([^/]*)/issues\z}m then ["project", $1]
  else ["other", nil]
  end
end

report = lambda { |env|
  request = Rack::Request.new(env)
  path = Rack::Utils.unescape_path(request.path).force_encoding("UTF-8").scrub
  where, id = route(path)
  begin
    told = {
      method: request.request_method, path: path, route: where, id: id, query: parameters(request.GET),
      form: parameters(request.POST), params: parameters(request.params), host: request.host.to_s,
      lookup: LOOKUPS.to_h { |name| [name, [env[key(name)]].compact.map { |v| clean(v) }] },
      headers: env.select { |name, _| name.start_with?("HTTP_") }.to_h { |name, value| [name, [clean(value.to_s)]] },
    }
    if request.media_type.to_s.match?(%r{json\z}) && (body = request.body.tap(&:rewind).read) != ""
      told[:json] = JSON.parse(body)
    end
    [200, {"content-type" => "application/json", "x-upstream" => "1"}, [JSON.generate(told)]]
  rescue JSON::ParserError, Rack::QueryParser::ParameterTypeError, Rack::QueryParser::InvalidParameterError, ArgumentError, RangeError => error
    [400, {"content-type" => "text/plain"}, [error.class.to_s]]
  end
}

Rack::Handler::Puma.run(Rack::MethodOverride.new(report), Host: "127.0.0.1", Port: ENV.fetch("PORT").to_i, Silent: true, Threads: "16:16")
