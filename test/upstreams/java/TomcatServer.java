import jakarta.servlet.MultipartConfigElement;
import java.io.File;
import java.nio.file.Files;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.RemoteIpValve;

/** TomcatServer is Tomcat with RemoteIpValve, which takes the host from X-Forwarded-Host. */
public final class TomcatServer {
    public static void main(String[] args) throws Exception {
        Tomcat tomcat = start();
        Context context = tomcat.addContext("", new File(System.getProperty("java.io.tmpdir")).getAbsolutePath());
        serve(context, "admin", "/rest/admin/*");
        serve(context, "other", "/*");
        tomcat.start();
        tomcat.getServer().await();
    }

    /** A Tomcat on loopback, on the port of PORT. */
    static Tomcat start() throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        Connector connector = new Connector();
        connector.setPort(Integer.parseInt(System.getenv("PORT")));
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxThreads", "8");
        connector.setEncodedSolidusHandling("passthrough"); // the default is a 400
        tomcat.setConnector(connector);
        RemoteIpValve proxies = new RemoteIpValve();
        proxies.setHostHeader("X-Forwarded-Host");
        tomcat.getEngine().getPipeline().addValve(proxies);
        return tomcat;
    }

    private static void serve(Context context, String route, String pattern) {
        Wrapper wrapper = Tomcat.addServlet(context, route, new Report(route));
        wrapper.setMultipartConfigElement(new MultipartConfigElement(""));
        context.addServletMappingDecoded(pattern, route);
    }
}
