#!/usr/bin/perl
# A CGI program with CGI.pm, as lighttpd's mod_cgi runs it.
use strict;
use warnings;
use CGI ();
use JSON::PP ();

$CGI::LIST_CONTEXT_WARN = 0;
my $json = JSON::PP->new->allow_nonref->utf8(0);
my $q = CGI->new;
my $type = $ENV{CONTENT_TYPE} || '';
my $form = $type =~ m{^(application/x-www-form-urlencoded|multipart/form-data)}i;

sub parameters {
    my ($names, $get) = @_;
    return { map { my $name = $_; ($name => [map { "$_" } $get->($name)]) } @$names };
}

sub lookup {
    my $name = uc $_[0];
    $name =~ tr/-/_/;
    my $value = $name eq 'CONTENT_TYPE' ? $ENV{$name} : $ENV{"HTTP_$name"};
    return defined $value ? [$value] : [];
}

my $path = $ENV{PATH_INFO} || '/';
my ($route, $id) = ('other', undef);
$route = 'admin' if $path =~ m{^/rest/admin(/.*)?\z}s;
($route, $id) = ('project', $1) if $path =~ m{^/projects/([^/]*)/issues\z}s;

my %told = (
    method => $q->request_method, path => $path, route => $route, id => $id,
    query => parameters([grep { defined } $q->url_param], sub { grep { defined } $q->url_param($_[0]) }),
    form => $form ? parameters([$q->param], sub { $q->multi_param($_[0]) }) : {},
    host => $q->server_name, lookup => { map { $_ => lookup($_) } split /,/, $ENV{LOOKUPS} || '' },
    headers => { map { $_ => [$ENV{$_}] } grep { /^HTTP_/ } keys %ENV },
);
my $body = $form ? undef : $q->param(($ENV{REQUEST_METHOD} || '') . 'DATA');
if (defined $body) {
    my $value = eval { JSON::PP->new->allow_nonref->utf8(1)->decode($body) };
    $told{json} = $value unless $@;
}
print "Status: 200\r\nContent-Type: application/json\r\nX-Upstream: 1\r\n\r\n", $json->encode(\%told);
