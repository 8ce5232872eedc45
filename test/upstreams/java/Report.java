import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Report is a servlet that answers with what the container read. */
public final class Report extends HttpServlet {
    static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern PROJECT = Pattern.compile("/projects/([^/]*)/issues", Pattern.DOTALL);
    private final String route;

    Report(String route) {
        this.route = route;
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String path = request.getServletPath() + (request.getPathInfo() == null ? "" : request.getPathInfo());
        Matcher project = PROJECT.matcher(path);
        Map<String, Object> told = of(request, path);
        boolean isProject = route.equals("other") && project.matches();
        told.put("route", isProject ? "project" : route);
        if (isProject) {
            told.put("id", project.group(1));
        }
        told.put("params", parameters(request.getParameterMap()));
        String type = String.valueOf(request.getContentType()).toLowerCase(Locale.ROOT);
        if (!type.startsWith("application/x-www-form-urlencoded") && !type.startsWith("multipart/")) {
            try {
                JsonNode body = JSON.readTree(request.getInputStream());
                if (!body.isMissingNode()) {
                    told.put("json", body);
                }
            } catch (JsonProcessingException unreadable) {
                told.put("unreadable", true);
            }
        }
        write(response, told);
    }

    static void write(HttpServletResponse response, Map<String, Object> told) throws IOException {
        response.setHeader("x-upstream", "1");
        response.setContentType("application/json");
        response.getOutputStream().write(JSON.writeValueAsBytes(told));
    }

    /** What every servlet has: method, path, host and headers. */
    static Map<String, Object> of(HttpServletRequest request, String path) {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("method", request.getMethod());
        told.put("path", path);
        told.put("host", request.getServerName());
        Map<String, List<String>> headers = new LinkedHashMap<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            headers.put(name, Collections.list(request.getHeaders(name)));
        }
        told.put("headers", headers);
        Map<String, List<String>> lookup = new LinkedHashMap<>();
        for (String name : System.getenv().getOrDefault("LOOKUPS", "").split(",")) {
            lookup.put(name, Collections.list(request.getHeaders(name)));
        }
        told.put("lookup", lookup);
        return told;
    }

    static Map<String, List<String>> parameters(Map<String, String[]> from) {
        Map<String, List<String>> made = new LinkedHashMap<>();
        from.forEach((name, values) -> made.put(name, new ArrayList<>(List.of(values))));
        return made;
    }
}
