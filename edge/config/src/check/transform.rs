//! Other answers in place of the codes of failed connect commands.

use super::Violations;
use crate::{Config, DisconnectTransform, HttpResponseTransform};

/// The most that a close frame carries beside its code.
const REASON_MAX: usize = 123;

pub(super) fn check(config: &Config, found: &mut Violations) {
    let disconnects = &config.client.connect_code_to_unidirectional_disconnect;
    let at = "client.connect_code_to_unidirectional_disconnect";
    check_disconnects(at, &disconnects.transforms, found);
    let responses = &config.uni_sse.connect_code_to_http_response;
    let at = "uni_sse.connect_code_to_http_response";
    check_responses(at, &responses.transforms, found);
    let responses = &config.uni_http_stream.connect_code_to_http_response;
    let at = "uni_http_stream.connect_code_to_http_response";
    check_responses(at, &responses.transforms, found);
}

fn check_disconnects(at: &str, transforms: &[DisconnectTransform], found: &mut Violations) {
    for (index, transform) in transforms.iter().enumerate() {
        let at = format!("{at}.transforms[{index}]");
        check_code(&format!("{at}.code"), transform.code, found);
        check_code(&format!("{at}.to.code"), transform.to.code, found);
        let reason = &transform.to.reason;
        if !reason.is_ascii() || reason.len() > REASON_MAX {
            found.add(
                format!("{at}.to.reason"),
                format!("a close frame cannot carry it: use at most {REASON_MAX} ASCII characters"),
            );
        }
    }
}

fn check_responses(at: &str, transforms: &[HttpResponseTransform], found: &mut Violations) {
    for (index, transform) in transforms.iter().enumerate() {
        let at = format!("{at}.transforms[{index}]");
        check_code(&format!("{at}.code"), transform.code, found);
        let status = transform.to.status_code;
        if !(200..=599).contains(&status) {
            found.add(
                format!("{at}.to.status_code"),
                format!("{status} is not the status of an answer: write one from 200 to 599"),
            );
        }
    }
}

fn check_code(path: &str, code: u32, found: &mut Violations) {
    if code == 0 {
        found.add(path, "the code is missing: add it");
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::{refused, violations};
    use crate::{Config, DisconnectTransform, HttpResponseTransform};

    const DISCONNECT: &str = "client.connect_code_to_unidirectional_disconnect.transforms[0]";

    fn disconnect(change: impl Fn(&mut DisconnectTransform)) -> impl Fn(&mut Config) {
        move |config| {
            let mut transform = DisconnectTransform {
                code: 109,
                ..DisconnectTransform::default()
            };
            transform.to.code = 4501;
            transform.to.reason = "x".repeat(123);
            change(&mut transform);
            let list = &mut config.client.connect_code_to_unidirectional_disconnect;
            list.transforms = vec![transform];
        }
    }

    #[test]
    fn a_disconnect_has_codes_and_a_reason_that_fits_a_close_frame() {
        assert_eq!(violations(disconnect(|_| {})), []);
        let path = |key: &str| format!("{DISCONNECT}.{key}");
        refused(&path("code"), "add it", disconnect(|t| t.code = 0));
        refused(&path("to.code"), "add it", disconnect(|t| t.to.code = 0));
        for reason in ["x".repeat(124), "ä".to_owned()] {
            let with = disconnect(move |t| t.to.reason.clone_from(&reason));
            refused(&path("to.reason"), "123 ASCII", with);
        }
    }

    #[test]
    fn a_response_has_a_code_and_a_status() {
        let response = |code, status_code| {
            let mut transform = HttpResponseTransform {
                code,
                ..HttpResponseTransform::default()
            };
            transform.to.status_code = status_code;
            transform
        };
        let both = |transform: &HttpResponseTransform| {
            let transforms = vec![response(3500, 401), transform.clone()];
            violations(|config| {
                let sse = &mut config.uni_sse.connect_code_to_http_response;
                sse.transforms.clone_from(&transforms);
                let stream = &mut config.uni_http_stream.connect_code_to_http_response;
                stream.transforms.clone_from(&transforms);
            })
        };
        assert_eq!(both(&response(109, 200)), []);
        assert_eq!(both(&response(109, 599)), []);
        for (transform, key) in [
            (response(0, 401), "code"),
            (response(109, 0), "to.status_code"),
            (response(109, 101), "to.status_code"),
            (response(109, 600), "to.status_code"),
        ] {
            let paths: Vec<String> = both(&transform).into_iter().map(|found| found.0).collect();
            assert_eq!(
                paths,
                ["uni_sse", "uni_http_stream"].map(|section| format!(
                    "{section}.connect_code_to_http_response.transforms[1].{key}"
                ))
            );
        }
    }
}
