//! Countries and cities for `@geoLookup`, from a MaxMind file that is held in memory.

use crate::diagnostic::Diagnostic;
use crate::limits::GEO_FILE_BYTES_MAX;
use maxminddb::{Reader, geoip2};
use seclang::geo::{GeoDatabase, GeoRecord};
use seclang::ruleset::RuleSet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// A database.
struct Geo(Reader<Vec<u8>>);

impl std::fmt::Debug for Geo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Geo({})", self.0.metadata().database_type)
    }
}

/// The files of all rule sets, each read once.
#[derive(Default)]
pub(super) struct Files(HashMap<String, Arc<dyn GeoDatabase>>);

impl Files {
    /// The database that the rules name, if they do.
    ///
    /// # Errors
    /// As [`Geo::open`]; told once for each file.
    pub(super) fn of(&mut self, rules: &RuleSet) -> Result<Option<Arc<dyn GeoDatabase>>, Diagnostic> {
        let Some(path) = &rules.settings().geo_database else { return Ok(None) };
        if let Some(open) = self.0.get(path) {
            return Ok(Some(Arc::clone(open)));
        }
        let open: Arc<dyn GeoDatabase> = Arc::new(Geo::open(path)?);
        Ok(Some(Arc::clone(self.0.entry(path.clone()).or_insert(open))))
    }
}

impl Geo {
    /// Reads the file that `SecGeoLookupDb` names.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is no MaxMind file.
    fn open(path: &str) -> Result<Self, Diagnostic> {
        let wrong = |why: String| {
            let help = "SecGeoLookupDb takes a country or city database in MaxMind's format (.mmdb); the older .dat is not read";
            Diagnostic::file(Path::new(path), &why, help)
        };
        let length = std::fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?.len();
        if length > GEO_FILE_BYTES_MAX {
            return Err(wrong(format!("{length} bytes are more than a database may have ({GEO_FILE_BYTES_MAX})")));
        }
        let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        Reader::from_source(bytes).map(Self).map_err(|_| wrong("is no MaxMind database".to_owned()))
    }
}

impl GeoDatabase for Geo {
    fn find(&self, address: IpAddr) -> Option<GeoRecord> {
        // A country database holds a part of what a city database does.
        let found: geoip2::City<'_> = self.0.lookup(address.to_canonical()).ok()?.decode().ok()??;
        let text = |text: Option<&str>| text.map(str::to_owned);
        Some(GeoRecord {
            country_code: text(found.country.iso_code),
            country_name: text(found.country.names.english),
            country_continent: text(found.continent.code),
            region: text(found.subdivisions.first().and_then(|region| region.iso_code)),
            city: text(found.city.names.english),
            postal_code: text(found.postal.code),
            latitude: found.location.latitude.map(|degrees| degrees.to_string()),
            longitude: found.location.longitude.map(|degrees| degrees.to_string()),
            dma_code: found.location.metro_code.map(|code| code.to_string()),
            ..GeoRecord::default()
        })
    }
}
