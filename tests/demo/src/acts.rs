//! What happens on the stage, act by act: the first tasks, a rush, a trickle, and the trickle again beside four tasks
//! that mean harm.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::check;
use crate::client::{Client, Played};
use crate::job::{self, Expected, Job, Mix};
use crate::pictures::{self, Picture};
use crate::progress::Progress;
use crate::report;
use crate::stage::Stage;
use crate::thumbnails;

/// The tenants, and the plugins of the tests that the second one runs besides those that people want.
const STUDIO: &str = "studio";
const LEDGER: &str = "ledger";
const HOSTILE: [&str; 4] = ["spin", "hog", "panics", "sleeps"];

/// One of each kind.
const FIRST: Mix = Mix { pictures: (1, 1), tables: (1, 1), greetings: (1, 1) };
/// All at once, so that queues build up.
const RUSH: Mix = Mix { pictures: (48, 24), tables: (40, 80), greetings: (48, 60) };
/// Little enough to leave two cores time to spare, so that a disturbance would show.
const TRICKLE: Mix = Mix { pictures: (20, 20), tables: (30, 50), greetings: (40, 40) };
/// Between two tasks of the trickle: its 200 tasks take 4 s.
const GAP: Duration = Duration::from_millis(20);
/// How many tasks of the trickle come before the hostile ones: half a second's.
const UNDISTURBED: usize = 25;

/// Plays everything and shows what came of it. The values are what was not as it should be.
pub async fn play(stage: &Stage) -> anyhow::Result<Vec<String>> {
    stage.push_and_apply(STUDIO, &[]).await?;
    stage.push_and_apply(LEDGER, &HOSTILE).await?;
    let album = pictures::album()?;
    let mut client = Client::connect(&stage.url(), &[STUDIO, LEDGER]).await?;

    println!("\nOne task of each kind first; this loads the plugins.");
    let first = job::honest("first", &FIRST, &album);
    let first = act(&mut client, &first, Duration::ZERO).await?;

    let rush = job::honest("rush", &RUSH, &album);
    println!("\nA rush: {} tasks at once.", rush.len());
    let rush = act(&mut client, &rush, Duration::ZERO).await?;

    let calm = job::honest("calm", &TRICKLE, &album);
    println!("\nA trickle: {} tasks, one every {} ms.", calm.len(), GAP.as_millis());
    let calm = act(&mut client, &calm, GAP).await?;

    println!("\nThe same trickle again, and half a second into it four tasks that mean harm.");
    let beset = beset(&album);
    let beset = act(&mut client, &beset, GAP).await?;
    let (hostile, beside): (Vec<_>, Vec<_>) = beset.into_iter().partition(is_hostile);

    println!("\nAll tasks, by queue:\n\n{}", report::queues(&[&first, &rush, &calm, &beside, &hostile]));
    let directory = stage.output().join("thumbnails");
    let written = thumbnails::write(&directory, &rush)?;
    println!("{written} thumbnails of the rush lie in {}", directory.display());
    println!("\nThe four that meant harm:\n\n{}", report::hostile(&hostile));
    let differences = check::differences(&calm, &beside);
    if differences.is_empty() {
        println!("Their neighbours have the same {} outputs as before, byte for byte.", beside.len());
    }
    let cores = std::thread::available_parallelism()?;
    println!("They share {cores} cores with the hostile ones and the server. From publishing to the result:");
    println!("\n{}", report::neighbours(&calm, &beside));

    let sets = [&first, &rush, &calm, &beside, &hostile];
    let mut objections: Vec<String> = sets.iter().flat_map(|set| check::objections(set)).collect();
    objections.extend(differences);
    for tenant in [STUDIO, LEDGER] {
        let published = sets.iter().copied().flatten().filter(|played| played.job.tenant == tenant).count();
        let stored = client.stored(tenant).await?;
        if stored != published as u64 {
            objections.push(format!("{tenant}: {published} tasks, and {stored} stored results"));
        }
    }
    Ok(objections)
}

async fn act<'a>(client: &mut Client, jobs: &'a [Job], gap: Duration) -> anyhow::Result<Vec<Played<'a>>> {
    let began = Instant::now();
    let mut progress = Progress::new(jobs.len());
    let played = client.play(jobs, gap, |done| progress.update(done)).await?;
    // Without all results, what follows would wait for the same thing again and compare nothing with nothing.
    let missing: Vec<_> = played.iter().filter(|played| played.answers.is_empty()).collect();
    if let Some(first) = missing.first() {
        let Job { tenant, queue, id, .. } = first.job;
        bail!("{} of {} tasks have no result, the first {queue}/{id} of {tenant}", missing.len(), jobs.len());
    }
    println!("  {:.1} s from the first task to the last result", began.elapsed().as_secs_f64());
    Ok(played)
}

/// The trickle with the hostile tasks in it.
fn beset(album: &[Picture]) -> Vec<Job> {
    let mut jobs = job::honest("beset", &TRICKLE, album);
    jobs.splice(UNDISTURBED..UNDISTURBED, job::hostile());
    jobs
}

fn is_hostile(played: &Played<'_>) -> bool {
    matches!(played.job.expected, Expected::Failure(..))
}
