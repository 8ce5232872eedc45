import com.fasterxml.jackson.databind.JsonNode;
import jakarta.servlet.MultipartConfigElement;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.File;
import java.io.IOException;
import java.util.Map;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.filter.FormContentFilter;
import org.springframework.web.filter.ForwardedHeaderFilter;
import org.springframework.web.filter.HiddenHttpMethodFilter;
import org.springframework.web.multipart.support.StandardServletMultipartResolver;
import org.springframework.web.servlet.DispatcherServlet;
import org.springframework.web.servlet.config.annotation.EnableWebMvc;
import org.springframework.web.util.UrlPathHelper;

/** SpringServer is Spring MVC on Tomcat, with its filters for forms, methods and forwarded headers. */
public final class SpringServer {
    public static void main(String[] args) throws Exception {
        Tomcat tomcat = TomcatServer.start();
        Context context = tomcat.addContext("", new File(System.getProperty("java.io.tmpdir")).getAbsolutePath());
        filter(context, new ForwardedHeaderFilter());
        filter(context, new HiddenHttpMethodFilter());
        filter(context, new FormContentFilter());
        AnnotationConfigWebApplicationContext beans = new AnnotationConfigWebApplicationContext();
        beans.register(Beans.class);
        DispatcherServlet dispatcher = new DispatcherServlet(beans);
        dispatcher.setDispatchOptionsRequest(true);
        Wrapper wrapper = Tomcat.addServlet(context, "spring", dispatcher);
        wrapper.setMultipartConfigElement(new MultipartConfigElement(""));
        wrapper.setLoadOnStartup(1);
        context.addServletMappingDecoded("/", "spring");
        tomcat.start();
        tomcat.getServer().await();
    }

    private static void filter(Context context, Filter filter) {
        FilterDef def = new FilterDef();
        def.setFilterName(filter.getClass().getSimpleName());
        def.setFilter(filter);
        context.addFilterDef(def);
        FilterMap map = new FilterMap();
        map.setFilterName(def.getFilterName());
        map.addURLPattern("/*");
        context.addFilterMap(map);
    }

    @Configuration
    @EnableWebMvc
    static class Beans {
        @Bean
        StandardServletMultipartResolver multipartResolver() {
            return new StandardServletMultipartResolver();
        }

        @Bean
        Api api() {
            return new Api();
        }
    }

    /** Api has each route twice: with a JSON body that Spring parses, and for everything else. */
    @RestController
    static class Api {
        private static final String ADMIN = "/rest/admin", BELOW = "/rest/admin/**", PROJECT = "/projects/{id}/issues";
        private static final String JSON = "application/json", SUFFIX = "application/*+json";

        @RequestMapping(path = {ADMIN, BELOW}, consumes = {JSON, SUFFIX})
        void adminJson(HttpServletRequest q, HttpServletResponse r, @RequestBody JsonNode body) throws IOException {
            answer(q, r, "admin", null, body);
        }

        @RequestMapping({ADMIN, BELOW})
        void admin(HttpServletRequest q, HttpServletResponse r) throws IOException {
            answer(q, r, "admin", null, null);
        }

        @RequestMapping(path = PROJECT)
        void project(HttpServletRequest q, HttpServletResponse r, @PathVariable("id") String id) throws IOException {
            answer(q, r, "project", id, null);
        }

        @RequestMapping(path = "/**", consumes = {JSON, SUFFIX})
        void otherJson(HttpServletRequest q, HttpServletResponse r, @RequestBody JsonNode body) throws IOException {
            answer(q, r, "other", null, body);
        }

        @RequestMapping("/**")
        void other(HttpServletRequest q, HttpServletResponse r) throws IOException {
            answer(q, r, "other", null, null);
        }

        private void answer(HttpServletRequest q, HttpServletResponse r, String route, String id, JsonNode body) throws IOException {
            Map<String, Object> told = Report.of(q, UrlPathHelper.defaultInstance.getPathWithinApplication(q));
            told.put("route", route);
            told.put("id", id);
            told.put("params", Report.parameters(q.getParameterMap()));
            if (body != null) {
                told.put("json", body);
            }
            Report.write(r, told);
        }
    }
}
